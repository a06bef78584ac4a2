// Convolutions by gathering, where the kernel is longer than the result, as in the gradient of a
// kernel: a tile's rows are the batch, and the sums run along the kernel's rows, as far as they are on
// the operand. So no zeros are multiplied, and nothing is copied if the batch is contiguous in one
// array and the made features in the other.
#pragma once

#include "runtime/conv_parts.h"

namespace covector {

constexpr int64_t kLongSums = 512;  // that a tile adds to the result at once

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

}  // namespace covector
