// Convolutions as matrix products that copy no columns, in the register tiles of gemm.
//
// Sliding: a tile's rows are neighbouring places of the result along the last axis, its columns are
// features. The kernel is packed once, place after place; the operand is copied into a slab with
// zeros around it and its features side by side, or read where it lies if it lies so. What a row
// reads are runs of the slab, one for each row of the kernel: the tile jumps from one to the next.
// Elements that are apart (`base`) are never filled up: the result's places fall into phases, each of
// which meets some of the kernel's places, and is an ordinary convolution of these.
//
// Gathering: where the kernel is longer than the result, as in the gradient of a kernel, a tile's rows
// are the batch, and the sums run along the kernel's rows, as far as they are on the operand. So no
// zeros are multiplied, and nothing is copied if the batch is contiguous in one array and the made
// features in the other.
//
// Each element is summed up in one order, whatever the number of threads.
#include "runtime/conv.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <new>
#include <numeric>
#include <vector>

#include "runtime/allocator.h"
#include "runtime/common.h"
#include "runtime/gemm_kernels.h"
#include "runtime/pool.h"
#include "runtime/status.h"

namespace covector {
namespace {

constexpr int kAxes = kConvolutionAxes;
constexpr int64_t kSlabBytes = 256 << 10;       // of a piece of the operand: a part of an L2 cache
constexpr int64_t kPieceWork = 64LL * 64 * 64;  // multiply-adds that are worth a thread
constexpr int64_t kPiecesPerThread = 4;
constexpr int64_t kLongSums = 512;  // that a gathering tile adds to the result at once

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t divide_down(int64_t a, int64_t b) { return a / b - (a % b < 0 ? 1 : 0); }

struct Free {
    void operator()(void* memory) const { cv_free(memory); }
};
template <typename T>
using Room = std::unique_ptr<T, Free>;

template <typename T>
Room<T> make_room(int64_t elements) {
    return Room<T>(static_cast<T*>(cv_alloc(std::max<int64_t>(elements, 1) * sizeof(T))));
}

// Runs body(begin, end) on the pool; what it returns is whether all of them had memory enough.
template <typename Body>
bool run_pieces(int64_t pieces, int64_t grain, const Body& body) {
    struct Run {
        const Body& body;
        std::atomic<bool> good{true};
    } run{body};
    cv_parallel_for(
        [](void* context, int64_t begin, int64_t end) {
            auto& run = *static_cast<Run*>(context);
            try {
                if (run.body(begin, end)) return;
            } catch (const std::bad_alloc&) {
            }
            run.good.store(false, std::memory_order_relaxed);
        },
        &run, pieces, std::max<int64_t>(grain, 1));
    return run.good.load();
}

// Where the parts of a group begin.
template <typename T>
struct Group {
    const T *lhs, *rhs;
    T* out;

    Group(const Convolution& conv, int64_t g, const T* lhs, const T* rhs, T* out)
        : lhs(lhs + g * (conv.batch_groups > 1 ? conv.batch * conv.lhs_batch
                                               : conv.taken * conv.lhs_feature)),
          rhs(rhs + g * conv.made * conv.rhs_made),
          out(out + g * conv.made * conv.out_feature) {}
};

// A panel of features: one, two or four vectors.
struct Panel {
    int64_t column, columns;
    int log;

    int64_t tail(int64_t lanes) const { return columns - ((lanes << log) - lanes); }
};

std::vector<Panel> panels_of(int64_t columns, int64_t lanes, bool wide) {
    std::vector<Panel> panels;
    for (int64_t column = 0; column < columns;) {
        const int64_t rest = columns - column;
        const int log = wide && rest > 3 * lanes ? 2 : rest > lanes ? 1 : 0;
        panels.push_back({column, std::min(rest, lanes << log), log});
        column += panels.back().columns;
    }
    return panels;
}

// A length in parts that differ by at most 1, none longer than `most`.
template <typename Body>
void in_parts(int64_t length, int64_t most, const Body& body) {
    const int64_t count = divide_up(length, most);
    for (int64_t i = 0, begin = 0; i < count; ++i) {
        const int64_t size = length / count + (i < length % count ? 1 : 0);
        body(begin, size);
        begin += size;
    }
}

// Copies a matrix from[i * row + j * column] to to[j * step + i], by vectors where it can.
template <typename T>
void copy_matrix(const Kernels<T>& kernels, const T* from, int64_t row, int64_t column, int64_t rows,
                 int64_t columns, T* to, int64_t step) {
    if (row == 1) {
        kernels.copy(from, column, rows, columns, to, step);
    } else if (column == 1 && columns >= kernels.lanes / 2) {
        for (int64_t i = 0; i < rows; i += kernels.lanes) {
            const int64_t some = std::min<int64_t>(kernels.lanes, rows - i);
            kernels.transpose(from + i * row, row, some, columns, to + i, step);
        }
    } else {
        for (int64_t j = 0; j < columns; ++j) {
            for (int64_t i = 0; i < rows; ++i) to[j * step + i] = from[i * row + j * column];
        }
    }
}

// ------------------------------------------------------------------------------------ sliding

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

template <typename T>
class Sliding {
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
            for (int64_t i = begin; i < end; ++i) run_chunk(i, slab.get(), rows.get());
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

    void run_chunk(int64_t index, T* slab, T* rows) const {
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
        for (const Meeting& m : meetings_) {
            const T* kernel = packed_.get() + g * kernel_size_ + m.packed;
            for (const Panel& p : panels_) {
                run_panel(m, p, kernel, from, origin, begin, end, out, rows);
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
                   const int64_t* begin, const int64_t* end, T* out, T* rows) const {
        Tile<T> t{};
        t.depth = m.depth;
        t.parts = static_cast<int64_t>(m.offsets.size());
        t.a_jumps = m.jumps.data();
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
                const int64_t at = origin + i * axes_[0].pace * steps_[0] +
                                   j * axes_[1].pace * steps_[1];
                T* row = out + p.column * conv_.out_feature + result_place(m, 0, i) +
                         result_place(m, 1, j) + result_place(m, 2, begin[2]);
                in_parts(stop[2] - begin[2], rows_, [&](int64_t first, int64_t height) {
                    if (m.sums() == 0) return clear(row + first * apart, height, apart, p.columns);
                    t.a = from + at + m.offsets[0] + (begin[2] + first) * t.a_row;
                    t.b = kernel;
                    t.next = t.a;
                    t.c = direct() ? row + first * apart : rows + first * t.ldc;
                    kernels_.tiles[height][p.log][1][masked](t);
                });
                if (direct() || m.sums() == 0) continue;
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

// ---------------------------------------------------------------------------------- gathering

// The places of the kernel along an axis that lie on elements, after some steps: place, place +
// place_step, ... on element, element + element_step, ...
struct Line {
    int64_t place, element, length;
};

struct LinedAxis {
    int64_t place_step, element_step;
    std::vector<Line> lines;  // one for each place of the result

    explicit LinedAxis(const SlidingAxis& axis) {
        const int64_t common = std::gcd(axis.spread, axis.base);
        place_step = axis.base / common;
        element_step = axis.spread / common;
        for (int64_t s = 0; s < axis.count; ++s) lines.push_back(line(axis, s));
    }

private:
    Line line(const SlidingAxis& axis, int64_t s) const {
        for (int64_t k = 0; k < std::min(place_step, axis.window); ++k) {
            const int64_t at = s * axis.stride + k * axis.spread - axis.low;
            if (at % axis.base != 0) continue;
            const int64_t element = divide_down(at, axis.base);
            const int64_t skipped = element < 0 ? divide_up(-element, element_step) : 0;
            const int64_t first = element + skipped * element_step;
            const int64_t place = k + skipped * place_step;
            const int64_t fit = first < axis.size ? divide_up(axis.size - first, element_step) : 0;
            const int64_t left = place < axis.window ? divide_up(axis.window - place, place_step) : 0;
            return {place, first, std::min(fit, left)};
        }
        return {0, 0, 0};
    }
};

template <typename T>
class Gathering {
public:
    Gathering(const Convolution& conv, const Kernels<T>& kernels, const T* lhs, const T* rhs, T* out)
        : conv_(conv), kernels_(kernels), lhs_(lhs), rhs_(rhs), out_(out) {
        for (const SlidingAxis& axis : conv.axes) axes_.emplace_back(axis);
        const bool wide = conv.batch <= kernels.wide_rows;
        rows_ = wide ? kernels.wide_rows : kernels.rows;
        panels_ = panels_of(conv.made, kernels.lanes, wide);
    }

    bool run() {
        if (!arrange()) return false;
        const int64_t places = conv_.axes[0].count * conv_.axes[1].count * conv_.axes[2].count;
        const int64_t units = places * divide_up(conv_.batch, rows_) * panels();
        int64_t work = conv_.taken * rows_ * kernels_.lanes * 2;
        for (const SlidingAxis& axis : conv_.axes) work *= axis.window;
        const int64_t grain = kPieceWork / std::max<int64_t>(work, 1);
        return run_pieces(units * conv_.groups(), grain, [this, units](int64_t begin, int64_t end) {
            for (int64_t g = begin / units; g * units < end; ++g) {
                const int64_t first = g * units;
                if (!run_group(g, std::max(begin - first, int64_t{0}), std::min(end - first, units))) {
                    return false;
                }
            }
            return true;
        });
    }

private:
    // What the sums at one place of the result run along.
    struct Place {
        int64_t depth = 0, lines = 0;  // of one feature
        int64_t a = 0, b = 0;          // where they begin
        int64_t features = 1;          // that are taken at once
        std::vector<int64_t> a_jumps, b_jumps;
    };

    int64_t panels() const { return static_cast<int64_t>(panels_.size()); }

    // Copies an operand whose batch, or whose made features, do not lie as the tiles take them.
    bool arrange() {
        SlidingAxis* axes = conv_.axes;
        if (conv_.lhs_batch != 1 && axes[2].lhs * axes_[2].element_step != 1) {
            const int64_t batch = conv_.batch * conv_.batch_groups;
            const int64_t sizes[kAxes] = {axes[0].size, axes[1].size, axes[2].size};
            int64_t* strides[kAxes] = {&axes[0].lhs, &axes[1].lhs, &axes[2].lhs};
            lhs_room_ = copied(lhs_, conv_.taken * conv_.feature_groups, conv_.lhs_feature, batch,
                               conv_.lhs_batch, sizes, strides);
            if (lhs_room_ == nullptr) return false;
            lhs_ = lhs_room_.get();
        }
        if (conv_.rhs_made != 1) {
            const int64_t sizes[kAxes] = {axes[0].window, axes[1].window, axes[2].window};
            int64_t* strides[kAxes] = {&axes[0].rhs, &axes[1].rhs, &axes[2].rhs};
            rhs_room_ = copied(rhs_, conv_.taken, conv_.rhs_taken, conv_.made * conv_.groups(),
                               conv_.rhs_made, sizes, strides);
            if (rhs_room_ == nullptr) return false;
            rhs_ = rhs_room_.get();
        }
        return true;
    }

    // An array with its rows contiguous, the axes before them, its features first; sets the strides.
    Room<T> copied(const T* from, int64_t features, int64_t& feature, int64_t rows, int64_t& row,
                   const int64_t* sizes, int64_t* const* strides) const {
        const int64_t old[kAxes] = {*strides[0], *strides[1], *strides[2]};
        const int64_t old_feature = feature, old_row = row;
        const int64_t each = rows * sizes[0] * sizes[1] * sizes[2];
        Room<T> room = make_room<T>(features * each);
        if (room == nullptr) return room;
        T* made = room.get();
        run_pieces(features, kPieceWork / 16 / std::max<int64_t>(each, 1),
                   [&](int64_t begin, int64_t end) {
                       T* to = made + begin * each;
                       for (int64_t f = begin; f < end; ++f) {
                           for (int64_t i = 0; i < sizes[0]; ++i) {
                               for (int64_t j = 0; j < sizes[1]; ++j, to += sizes[2] * rows) {
                                   copy_matrix(kernels_,
                                               from + f * old_feature + i * old[0] + j * old[1],
                                               old_row, old[2], rows, sizes[2], to, rows);
                               }
                           }
                       }
                       return true;
                   });
        row = 1;
        *strides[2] = rows;
        *strides[1] = rows * sizes[2];
        *strides[0] = rows * sizes[2] * sizes[1];
        feature = each;
        return room;
    }

    Place place_at(int64_t index) const {
        int64_t at[kAxes];
        for (int a = kAxes - 1; a >= 0; --a) {
            at[a] = index % conv_.axes[a].count;
            index /= conv_.axes[a].count;
        }
        Place place;
        const Line* lines[kAxes];
        int64_t a_steps[kAxes], b_steps[kAxes];
        for (int a = 0; a < kAxes; ++a) {
            lines[a] = &axes_[a].lines[at[a]];
            a_steps[a] = axes_[a].element_step * conv_.axes[a].lhs;
            b_steps[a] = axes_[a].place_step * conv_.axes[a].rhs;
            place.a += lines[a]->element * conv_.axes[a].lhs;
            place.b += lines[a]->place * conv_.axes[a].rhs;
        }
        place.depth = lines[2]->length;
        place.lines = std::max<int64_t>(lines[0]->length, 0) * std::max<int64_t>(lines[1]->length, 0);
        if (place.depth <= 0 || place.lines == 0) return Place{};
        const int64_t sums = place.depth * place.lines;
        place.features = std::min(divide_up(kLongSums, sums), conv_.taken);
        int64_t a = 0, b = 0;  // where the last one ended
        for (int64_t f = 0; f < place.features; ++f) {
            for (int64_t i = 0; i < lines[0]->length; ++i) {
                for (int64_t j = 0; j < lines[1]->length; ++j) {
                    const int64_t x = f * conv_.lhs_feature + i * a_steps[0] + j * a_steps[1];
                    const int64_t y = f * conv_.rhs_taken + i * b_steps[0] + j * b_steps[1];
                    place.a_jumps.push_back(x - a);
                    place.b_jumps.push_back(y - b);
                    a = x + place.depth * a_steps[2];
                    b = y + place.depth * b_steps[2];
                }
            }
        }
        return place;
    }

    // Units of a group: places of the result, in each of them blocks of the batch, in these panels.
    bool run_group(int64_t g, int64_t begin, int64_t end) const {
        const int64_t blocks = divide_up(conv_.batch, rows_), each = blocks * panels();
        const Group<T> group(conv_, g, lhs_, rhs_, out_);
        const int64_t tile = rows_ * (static_cast<int64_t>(kernels_.lanes) << 2);
        const bool direct = conv_.out_feature == 1;
        const Room<T> room = make_room<T>(direct ? 0 : tile * (end - begin));
        if (room == nullptr) return false;
        std::vector<Place> places;
        const int64_t first = begin / each;
        for (int64_t p = first; p * each < end; ++p) places.push_back(place_at(p));
        // Some features of all units before the next ones: what is read of them stays in the cache.
        for (int64_t f = 0; f < conv_.taken;) {
            int64_t most = conv_.taken - f;
            for (const Place& p : places) if (p.depth > 0) most = std::min(most, p.features);
            for (int64_t u = begin; u < end; ++u) {
                const Place& place = places[u / each - first];
                T* c = direct ? nullptr : room.get() + (u - begin) * tile;
                run_unit(group, place, u / each, u % each, f, most, c);
            }
            f += most;
        }
        for (int64_t u = begin; u < end && !direct; ++u) {
            scatter(group, u / each, u % each, room.get() + (u - begin) * tile);
        }
        return true;
    }

    struct Piece {
        int64_t row, height;
        const Panel* panel;
    };

    Piece piece_of(int64_t index) const {
        const int64_t blocks = divide_up(conv_.batch, rows_), i = index / panels();
        const int64_t size = conv_.batch / blocks, longer = conv_.batch % blocks;
        return {size * i + std::min(i, longer), size + (i < longer ? 1 : 0), &panels_[index % panels()]};
    }

    T* result_at(const Group<T>& group, int64_t place, const Piece& piece) const {
        T* at = group.out + piece.row * conv_.out_batch + piece.panel->column * conv_.out_feature;
        for (int a = kAxes - 1; a >= 0; --a) {
            at += place % conv_.axes[a].count * conv_.axes[a].out;
            place /= conv_.axes[a].count;
        }
        return at;
    }

    void run_unit(const Group<T>& group, const Place& place, int64_t index, int64_t part,
                  int64_t feature, int64_t features, T* room) const {
        const Piece piece = piece_of(part);
        const int64_t width = static_cast<int64_t>(kernels_.lanes) << piece.panel->log;
        Tile<T> t{};
        t.c = room == nullptr ? result_at(group, index, piece) : room;
        t.ldc = room == nullptr ? conv_.out_batch : width;
        if (place.depth == 0) {
            for (int64_t i = 0; i < piece.height && feature == 0; ++i) {
                std::fill_n(t.c + i * t.ldc, piece.panel->columns, T(0));
            }
            return;
        }
        t.depth = place.depth;
        t.parts = features * place.lines;
        t.a_jumps = place.a_jumps.data();
        t.b_jumps = place.b_jumps.data();
        t.a = group.lhs + place.a + feature * conv_.lhs_feature + piece.row * conv_.lhs_batch;
        t.b = group.rhs + place.b + feature * conv_.rhs_taken + piece.panel->column;
        const int64_t step = axes_[2].element_step * conv_.axes[2].lhs;
        const int rowwise = conv_.lhs_batch != 1;
        t.a_row = conv_.lhs_batch;
        t.a_step = step;
        t.b_step = axes_[2].place_step * conv_.axes[2].rhs;
        t.beta = feature == 0 ? T(0) : T(1);
        t.tail = piece.panel->tail(kernels_.lanes);
        t.next = t.a;
        kernels_.tiles[piece.height][piece.panel->log][rowwise][t.tail < kernels_.lanes](t);
    }

    void scatter(const Group<T>& group, int64_t index, int64_t part, const T* room) const {
        const Piece piece = piece_of(part);
        const int64_t width = static_cast<int64_t>(kernels_.lanes) << piece.panel->log;
        T* out = result_at(group, index, piece);
        for (int64_t i = 0; i < piece.height; ++i) {
            for (int64_t f = 0; f < piece.panel->columns; ++f) {
                out[i * conv_.out_batch + f * conv_.out_feature] = room[i * width + f];
            }
        }
    }

    Convolution conv_;
    const Kernels<T>& kernels_;
    const T *lhs_, *rhs_;
    T* out_;
    Room<T> lhs_room_, rhs_room_;
    std::vector<LinedAxis> axes_;
    std::vector<Panel> panels_;
    int64_t rows_ = 0;
};

// ------------------------------------------------------------------------------------- choice

// Without register tiles: the definition.
template <typename T>
void convolve_plainly(const Convolution& conv, const T* lhs, const T* rhs, T* out) {
    const SlidingAxis* axes = conv.axes;
    const int64_t places = axes[0].count * axes[1].count * axes[2].count;
    const int64_t window = axes[0].window * axes[1].window * axes[2].window;
    for (int64_t index = 0; index < conv.groups() * conv.batch * conv.made * places; ++index) {
        int64_t rest = index, at[kAxes];
        for (int a = kAxes - 1; a >= 0; --a) {
            at[a] = rest % axes[a].count;
            rest /= axes[a].count;
        }
        const int64_t o = rest % conv.made, n = rest / conv.made % conv.batch;
        const Group<T> group(conv, rest / conv.made / conv.batch, lhs, rhs, out);
        T sum = 0;
        for (int64_t which = 0; which < window; ++which) {
            const T* x = group.lhs + n * conv.lhs_batch;
            const T* y = group.rhs + o * conv.rhs_made;
            bool inside = true;
            for (int64_t a = kAxes - 1, left = which; a >= 0; left /= axes[a].window, --a) {
                const int64_t k = left % axes[a].window;
                const int64_t i = at[a] * axes[a].stride + k * axes[a].spread - axes[a].low;
                inside = inside && i >= 0 && i % axes[a].base == 0 && i / axes[a].base < axes[a].size;
                x += i / axes[a].base * axes[a].lhs;
                y += k * axes[a].rhs;
            }
            for (int64_t c = 0; c < conv.taken && inside; ++c) {
                sum += x[c * conv.lhs_feature] * y[c * conv.rhs_taken];
            }
        }
        T* to = group.out + n * conv.out_batch + o * conv.out_feature;
        for (int a = 0; a < kAxes; ++a) to += at[a] * axes[a].out;
        *to = sum;
    }
}

// The rows of a tile are as many as there are steps along the last axis, or elements of the batch.
bool gathers(const Convolution& conv) {
    const SlidingAxis& last = conv.axes[kAxes - 1];
    int64_t window = 1, count = 1;
    for (const SlidingAxis& axis : conv.axes) {
        window *= axis.window;
        count *= axis.count;
    }
    return window > 2 * count && last.window >= 4 && conv.batch > last.count;
}

template <typename T>
int32_t convolve(const T* lhs, const T* rhs, T* out, const int64_t* numbers) {
    Convolution conv;
    static_assert(sizeof(conv) % sizeof(int64_t) == 0);
    std::memcpy(&conv, numbers, sizeof(conv));
    const Kernels<T>* kernels = tile_kernels<T>();
    if (kernels == nullptr) {
        convolve_plainly(conv, lhs, rhs, out);
        return kNoError;
    }
    try {
        const bool good = gathers(conv) ? Gathering<T>(conv, *kernels, lhs, rhs, out).run()
                                        : Sliding<T>(conv, *kernels, lhs, rhs, out).run();
        return good ? kNoError : kOutOfMemory;
    } catch (const std::bad_alloc&) {
        return kOutOfMemory;
    }
}

}  // namespace
}  // namespace covector

extern "C" int32_t cv_sconv(const float* lhs, const float* rhs, float* out, const int64_t* numbers) {
    return covector::convolve(lhs, rhs, out, numbers);
}

extern "C" int32_t cv_dconv(const double* lhs, const double* rhs, double* out,
                            const int64_t* numbers) {
    return covector::convolve(lhs, rhs, out, numbers);
}
