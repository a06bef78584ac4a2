// Convolutions by sliding: a tile's rows are neighbouring places of the result along the last axis.
//
// The kernel is packed once, place after place; the operand is copied into a slab with zeros around
// it and its features side by side, or read where it lies if it lies so. What a row reads are runs of
// the slab, one for each row of the kernel: the tile jumps from one to the next. Elements that are
// apart (`base`) are never filled up: the result's places fall into phases, each of which meets some
// of the kernel's places, and is an ordinary convolution of these.
#pragma once

#include "runtime/conv_parts.h"

namespace covector {

constexpr int64_t kSlabBytes = 256 << 10;  // of a piece of the operand: a part of an L2 cache
constexpr int64_t kPiecesPerThread = 4;

// The places of the result along an axis that meet the same places of the kernel: first, first +
// apart, ... Step t of them reads the operand at offsets[k] + t * pace.
struct Phase {
    int64_t first, steps;
    std::vector<int64_t> places, offsets;
};

struct PhasedAxis {
    int64_t apart, pace;
    std::vector<Phase> phases;
    int64_t most_steps = 0, lowest = 0, highest = 0;  // offsets of step 0, over all phases

    explicit PhasedAxis(const SlidingAxis& axis) {
        const int64_t common = std::gcd(axis.stride, axis.base);
        apart = axis.base / common;
        pace = axis.stride / common;
        bool any = false;
        for (int64_t p = 0; p < apart; ++p) {
            Phase phase{p, axis.count > p ? divide_up(axis.count - p, apart) : 0, {}, {}};
            for (int64_t k = 0; k < axis.window && phase.steps > 0; ++k) {
                const int64_t at = p * axis.stride + k * axis.spread - axis.low;
                if (at % axis.base != 0) continue;
                const int64_t offset = divide_down(at, axis.base);
                if (offset >= axis.size || offset + (phase.steps - 1) * pace < 0) continue;
                phase.places.push_back(k);
                phase.offsets.push_back(offset);
                lowest = any ? std::min(lowest, offset) : offset;
                highest = any ? std::max(highest, offset) : offset;
                any = true;
            }
            most_steps = std::max(most_steps, phase.steps);
            phases.push_back(std::move(phase));
        }
    }
};

// One phase of all axes: the runs that a tile's row reads, and where its kernel is packed.
struct Meeting {
    const Phase* phases[kAxes];
    int64_t depth = 0;             // of a run
    std::vector<int64_t> offsets;  // of the runs, in the slab
    std::vector<int64_t> jumps;    // from the end of one to the beginning of the next
    int64_t packed = 0;            // where its kernel begins

    int64_t sums() const { return depth * static_cast<int64_t>(offsets.size()); }
};

// Some of a meeting's runs, which follow one another.
struct Runs {
    int64_t first, count;
};

// Memory that tiles fetch while they sum up: a tile's step fetches a line.
template <typename T>
struct Fetching {
    const T *at = nullptr, *end = nullptr;
    int64_t step = 0;

    void fetch(Tile<T>& t) {
        const bool left = at < end;
        t.next = left ? at : t.a;
        t.next_step = left ? step : 0;
        at += left ? t.depth * t.parts * step : 0;
    }
};

template <typename T>
class Sliding {
    using Ahead = Fetching<T>;

public:
    Sliding(const Convolution& conv, const Kernels<T>& kernels, const T* lhs, const T* rhs, T* out)
        : conv_(conv), kernels_(kernels), lhs_(lhs), rhs_(rhs), out_(out) {
        for (const SlidingAxis& axis : conv.axes) axes_.emplace_back(axis);
        const bool wide = axes_[kAxes - 1].most_steps <= kernels.wide_rows;
        rows_ = wide ? kernels.wide_rows : kernels.rows;
        panels_ = panels_of(conv.made, kernels.lanes, wide);
        for (const Panel& p : panels_) width_ += static_cast<int64_t>(kernels.lanes) << p.log;
        lay_out();
        meet();
    }

    bool run() {
        packed_ = make_room<T>(conv_.groups() * kernel_size_);
        if (packed_ == nullptr) return false;
        pack();
        const int64_t images = conv_.groups() * conv_.batch;
        return run_pieces(images * chunks_, grain_, [this](int64_t begin, int64_t end) {
            const Room<T> slab = make_room<T>(in_place_ ? 0 : slab_size_);
            const Room<T> rows = make_room<T>(direct() ? 0 : row_size());
            if (slab == nullptr || rows == nullptr) return false;
            for (int64_t i = begin; i < end; ++i) run_chunk(i, end - 1, slab.get(), rows.get());
            return true;
        });
    }

private:
    bool direct() const { return conv_.out_feature == 1 || conv_.made == 1; }
    int64_t row_size() const {
        return axes_[kAxes - 1].most_steps * (static_cast<int64_t>(kernels_.lanes) << 2);
    }

    // What a piece of the work is: a chunk of one image along the first axis that has several steps.
    void lay_out() {
        while (chunked_ + 1 < kAxes && axes_[chunked_].most_steps <= 1) ++chunked_;
        const int64_t steps = std::max<int64_t>(axes_[chunked_].most_steps, 1);
        in_place_ = conv_.lhs_feature == 1 || conv_.taken == 1;
        int64_t row = conv_.taken;  // elements of the slab along one step of the chunked axis
        int64_t work = conv_.taken * conv_.made;
        for (int a = 0; a < kAxes; ++a) {
            const PhasedAxis& axis = axes_[a];
            const int64_t last = axis.highest + (axis.most_steps - 1) * axis.pace;
            in_place_ = in_place_ && axis.lowest >= 0 && last < conv_.axes[a].size;
            if (a > chunked_) row *= last - axis.lowest + 1;
            work *= std::max<int64_t>(axis.most_steps, 1) * conv_.axes[a].window;
        }
        const PhasedAxis& axis = axes_[chunked_];
        const int64_t around = axis.highest - axis.lowest + 1;
        const int64_t images = conv_.groups() * conv_.batch;
        const int64_t wanted = divide_up(kPiecesPerThread * pool_size(), std::max<int64_t>(images, 1));
        int64_t chunks = std::min(wanted, std::max<int64_t>(work / kPieceWork, 1));
        if (!in_place_) {
            const int64_t most = kSlabBytes / static_cast<int64_t>(sizeof(T)) / row - around;
            chunks = std::max(chunks, divide_up(steps, std::max<int64_t>(most / axis.pace, 1)));
        }
        chunks_ = std::clamp<int64_t>(chunks, 1, steps);
        grain_ = kPieceWork / std::max<int64_t>(work / chunks_, 1);
        int64_t step = conv_.taken;
        for (int a = kAxes - 1; a >= 0; --a) {
            const int64_t most = a == chunked_ ? divide_up(steps, chunks_) : axes_[a].most_steps;
            extents_[a] = axes_[a].highest - axes_[a].lowest + 1 +
                          std::max<int64_t>(most - 1, 0) * axes_[a].pace;
            steps_[a] = in_place_ ? conv_.axes[a].lhs : step;
            step *= extents_[a];
        }
        slab_size_ = step;
    }

    void meet() {
        for (const Phase& x : axes_[0].phases) {
            for (const Phase& y : axes_[1].phases) {
                for (const Phase& z : axes_[2].phases) {
                    meetings_.push_back({{&x, &y, &z}, 0, {}, {}, kernel_size_});
                    find_runs(meetings_.back());
                    kernel_size_ += meetings_.back().sums() * width_;
                }
            }
        }
    }

    // The last axis's places are one run if their features follow one another in the slab.
    void find_runs(Meeting& m) const {
        const std::vector<int64_t>& last = m.phases[2]->offsets;
        const auto count = static_cast<int64_t>(last.size());
        bool one = steps_[2] == conv_.taken;
        for (int64_t k = 1; k < count; ++k) one = one && last[k] == last[k - 1] + 1;
        m.depth = one ? conv_.taken * count : conv_.taken;
        for (int64_t x : m.phases[0]->offsets) {
            for (int64_t y : m.phases[1]->offsets) {
                for (int64_t k = 0; k < (one ? std::min<int64_t>(count, 1) : count); ++k) {
                    m.offsets.push_back(x * steps_[0] + y * steps_[1] + last[k] * steps_[2]);
                }
            }
        }
        m.jumps.assign(m.offsets.size() + 1, 0);
        for (size_t i = 1; i < m.offsets.size(); ++i) {
            m.jumps[i] = m.offsets[i] - m.offsets[i - 1] - m.depth;
        }
    }

    // The kernel, panel after panel, in the order in which the runs meet its places.
    void pack() {
        const auto each = static_cast<int64_t>(meetings_.size());
        run_pieces(conv_.groups() * each, kPieceWork / std::max<int64_t>(kernel_size_ / each, 1),
                   [this, each](int64_t begin, int64_t end) {
                       for (int64_t i = begin; i < end; ++i) {
                           pack_group(i / each, meetings_[i % each]);
                       }
                       return true;
                   });
    }

    void pack_group(int64_t g, const Meeting& m) const {
        const Group<T> group(conv_, g, lhs_, rhs_, out_);
        T* to = packed_.get() + g * kernel_size_ + m.packed;
        for (const Panel& p : panels_) {
            const int64_t width = static_cast<int64_t>(kernels_.lanes) << p.log;
            const T* from = group.rhs + p.column * conv_.rhs_made;
            for (int64_t x : m.phases[0]->places) {
                for (int64_t y : m.phases[1]->places) {
                    for (int64_t z : m.phases[2]->places) {
                        const T* place = from + x * conv_.axes[0].rhs + y * conv_.axes[1].rhs +
                                         z * conv_.axes[2].rhs;
                        copy_matrix(kernels_, place, conv_.rhs_made, conv_.rhs_taken, p.columns,
                                    conv_.taken, to, width);
                        to += conv_.taken * width;
                    }
                }
            }
        }
    }

    void run_chunk(int64_t index, int64_t last, T* slab, T* rows) const {
        const int64_t image = index / chunks_, chunk = index % chunks_;
        const int64_t g = image / conv_.batch, n = image % conv_.batch;
        const Group<T> group(conv_, g, lhs_, rhs_, out_);
        const T* lhs = group.lhs + n * conv_.lhs_batch;
        const int64_t total = axes_[chunked_].most_steps;
        int64_t begin[kAxes] = {}, end[kAxes];
        for (int a = 0; a < kAxes; ++a) end[a] = axes_[a].most_steps;
        begin[chunked_] = total * chunk / chunks_;
        end[chunked_] = total * (chunk + 1) / chunks_;
        const T* from = lhs;
        int64_t origin = 0;
        if (!in_place_) {
            int64_t low[kAxes];
            for (int a = 0; a < kAxes; ++a) {
                low[a] = axes_[a].lowest + begin[a] * axes_[a].pace;
                origin -= low[a] * steps_[a];
            }
            fill(slab, lhs, low);
            from = slab;
        }
        T* out = group.out + n * conv_.out_batch;
        Ahead ahead = ahead_of(index, last);
        for (const Meeting& m : meetings_) {
            const T* kernel = packed_.get() + g * kernel_size_ + m.packed;
            for (const Panel& p : panels_) {
                run_panel(m, p, kernel, from, origin, begin, end, out, rows, ahead);
                kernel += m.sums() * (static_cast<int64_t>(kernels_.lanes) << p.log);
            }
        }
    }

    // Copies the operand from `low` on, with zeros where there is none.
    void fill(T* slab, const T* lhs, const int64_t* low) const {
        const SlidingAxis* axes = conv_.axes;
        const int64_t row = extents_[2] * conv_.taken;
        const int64_t first = std::clamp<int64_t>(-low[2], 0, extents_[2]);
        const int64_t after = std::clamp<int64_t>(axes[2].size - low[2], first, extents_[2]);
        for (int64_t i = 0; i < extents_[0]; ++i) {
            for (int64_t j = 0; j < extents_[1]; ++j, slab += row) {
                const int64_t x = low[0] + i, y = low[1] + j;
                if (x < 0 || x >= axes[0].size || y < 0 || y >= axes[1].size || after == first) {
                    std::fill_n(slab, row, T(0));
                    continue;
                }
                std::fill_n(slab, first * conv_.taken, T(0));
                std::fill_n(slab + after * conv_.taken, (extents_[2] - after) * conv_.taken, T(0));
                const T* from = lhs + x * axes[0].lhs + y * axes[1].lhs + (low[2] + first) * axes[2].lhs;
                T* to = slab + first * conv_.taken;
                if (conv_.lhs_feature == 1 && axes[2].lhs == conv_.taken) {
                    std::memcpy(to, from, (after - first) * conv_.taken * sizeof(T));
                } else {
                    copy_matrix(kernels_, from, conv_.lhs_feature, axes[2].lhs, conv_.taken,
                                after - first, to, conv_.taken);
                }
            }
        }
    }

    void run_panel(const Meeting& m, const Panel& p, const T* kernel, const T* from, int64_t origin,
                   const int64_t* begin, const int64_t* end, T* out, T* rows, Ahead& ahead) const {
        Tile<T> t{};
        t.depth = m.depth;
        t.a_row = axes_[2].pace * steps_[2];
        t.a_step = 1;
        t.b_step = static_cast<int64_t>(kernels_.lanes) << p.log;
        t.tail = p.tail(kernels_.lanes);
        const bool masked = t.tail < kernels_.lanes;
        int64_t stop[kAxes];
        for (int a = 0; a < kAxes; ++a) stop[a] = std::min(end[a], m.phases[a]->steps);
        const int64_t apart = axes_[2].apart * conv_.axes[2].out;
        t.ldc = direct() ? apart : t.b_step;
        for (int64_t i = begin[0]; i < stop[0]; ++i) {
            for (int64_t j = begin[1]; j < stop[1]; ++j) {
                const Runs runs = runs_at(m, i, j);
                t.parts = runs.count;
                t.a_jumps = m.jumps.data() + runs.first;
                t.b = kernel + runs.first * m.depth * t.b_step;
                const int64_t at = origin + i * axes_[0].pace * steps_[0] +
                                   j * axes_[1].pace * steps_[1];
                T* row = out + p.column * conv_.out_feature + result_place(m, 0, i) +
                         result_place(m, 1, j) + result_place(m, 2, begin[2]);
                in_parts(stop[2] - begin[2], rows_, [&](int64_t first, int64_t height) {
                    if (t.parts == 0) return clear(row + first * apart, height, apart, p.columns);
                    t.a = from + at + m.offsets[runs.first] + (begin[2] + first) * t.a_row;
                    ahead.fetch(t);
                    t.c = direct() ? row + first * apart : rows + first * t.ldc;
                    kernels_.tiles[height][p.log][1][masked](t);
                });
                if (direct() || t.parts == 0) continue;
                const int64_t length = stop[2] - begin[2];
                if (apart == 1) {
                    copy_matrix(kernels_, rows, t.ldc, 1, length, p.columns, row, conv_.out_feature);
                } else {
                    for (int64_t f = 0; f < p.columns; ++f) {
                        for (int64_t s = 0; s < length; ++s) {
                            row[f * conv_.out_feature + s * apart] = rows[s * t.ldc + f];
                        }
                    }
                }
            }
        }
    }

    // The runs that a row at these steps reads: those that lie above or below the operand are zeros.
    Runs runs_at(const Meeting& m, int64_t i, int64_t j) const {
        const auto all = static_cast<int64_t>(m.offsets.size());
        const int a = m.phases[0]->offsets.size() > 1 ? 0 : 1;
        const std::vector<int64_t>& offsets = m.phases[a]->offsets;
        const int64_t shift = (a == 0 ? i : j) * axes_[a].pace, size = conv_.axes[a].size;
        auto first = offsets.begin(), after = offsets.end();  // they rise
        while (first != after && *first + shift < 0) ++first;
        while (first != after && *(after - 1) + shift >= size) --after;
        if (all == 0) return {0, 0};
        const int64_t each = all / static_cast<int64_t>(offsets.size());
        return {(first - offsets.begin()) * each, (after - first) * each};
    }

    // What is copied into the slab next, after the chunk of this index, if it lies in one piece.
    Ahead ahead_of(int64_t index, int64_t last) const {
        const SlidingAxis* axes = conv_.axes;
        const int64_t row = axes[2].size * conv_.taken, image = axes[1].size * row;
        const bool dense = conv_.lhs_feature == 1 && axes[2].lhs == conv_.taken && axes[0].size == 1 &&
                           (axes[1].size == 1 || axes[1].lhs == row);
        if (in_place_ || !dense || index == last || kernel_size_ == 0) return {};
        const int64_t next = (index + 1) / chunks_, chunk = (index + 1) % chunks_;
        const int64_t size = image / chunks_;
        const Group<T> group(conv_, next / conv_.batch, lhs_, rhs_, out_);
        const T* from = group.lhs + next % conv_.batch * conv_.lhs_batch + chunk * size;
        int64_t tiles = divide_up(axes[2].count, rows_);
        for (int a = 0; a < 2; ++a) tiles *= axes[a].count;
        const int64_t steps = tiles * kernel_size_ / (static_cast<int64_t>(kernels_.lanes) << 1);
        const int64_t line = 64 / static_cast<int64_t>(sizeof(T));
        const int64_t step = divide_up(size * chunks_, std::max<int64_t>(steps, 1));
        return {from, from + size, std::min(step, line)};
    }

    int64_t result_place(const Meeting& m, int a, int64_t step) const {
        return (m.phases[a]->first + step * axes_[a].apart) * conv_.axes[a].out;
    }

    // Places of the result that meet no place of the kernel.
    void clear(T* at, int64_t height, int64_t apart, int64_t columns) const {
        for (int64_t i = 0; i < height; ++i) {
            for (int64_t f = 0; f < columns; ++f) at[i * apart + f * conv_.out_feature] = T(0);
        }
    }

    const Convolution& conv_;
    const Kernels<T>& kernels_;
    const T *lhs_, *rhs_;
    T* out_;
    std::vector<PhasedAxis> axes_;
    std::vector<Panel> panels_;
    std::vector<Meeting> meetings_;
    Room<T> packed_;
    int64_t rows_ = 0, width_ = 0, kernel_size_ = 0;
    int chunked_ = 0;
    bool in_place_ = false;
    int64_t chunks_ = 1, grain_ = 1, slab_size_ = 0;
    int64_t extents_[kAxes] = {}, steps_[kAxes] = {};
};

}  // namespace covector
