/* Passes over the pixels of one window before and after a network's convolutions.

   Each function fills the arrays that it is given, and equals the function of this name in
   plain_packing.py bit for bit: sums are of whole numbers, and every operation on float32 is
   rounded by itself (-ffp-contract=off). The text there says what each array is. Nothing depends
   on the place or the size of a window. Arrays are C-contiguous; rows of `pixels` and `out` may
   lie further apart. Sizes and types are checked here, so that a wrong call is an error. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define SIDE 4
#define CELL (SIDE * SIDE)
#define COLOURS 3
#define REACH 4 /* cells to each side of a local mean */
#define AROUND (2 * REACH + 1)
#define BANDS 3
#define BAND_REACH 8 /* pixels to each side that a blur depends on */
#define NARROW 4     /* the same for the first blur: its weights further out are none */
#define BAND_EDGE (BAND_REACH / SIDE)
#define RING 32 /* rows kept, at least 2 * BAND_REACH + 1 */

#define INLINE static inline __attribute__((always_inline))
/* Where the C library can choose at load time, a second version for newer processors. */
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#define PASS __attribute__((target_clones("avx2", "default"))) static
#else
#define PASS static
#endif
/* A third one where long rows of float32 are all there is to do. */
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__clang__) && __GNUC__ >= 12
#define WIDE_PASS __attribute__((target_clones("arch=x86-64-v4", "avx2", "default"))) static
#else
#define WIDE_PASS PASS
#endif

INLINE uint16_t smaller(uint16_t one, uint16_t other) { return one < other ? one : other; }
INLINE uint16_t larger(uint16_t one, uint16_t other) { return one > other ? one : other; }

typedef float floats4 __attribute__((vector_size(16)));

typedef struct {
    char *data;
    Py_ssize_t row_bytes, rows, columns; /* rows and columns of cells */
    int channels, depth;                 /* bytes of a value */
} Pixels;

typedef struct {
    const void *detail; /* rows x columns x 48, float32 or bfloat16 */
    int is_half;
    const float *calm; /* rows x columns, scales the detail of a cell; NULL for one */
    const float *mask, *gate; /* rows x columns x 16, rows x columns; NULL without a mask */
    float scale;
} Change;

INLINE float rounded(float value) { /* to even; below 2^22 */
    const float magic = 12582912.0f;
    return (value + magic) - magic;
}

INLINE float clamped(float value, float least, float most) {
    value = value < least ? least : value;
    return value > most ? most : value;
}

INLINE float white_of(const Pixels *pixels) { return pixels->depth == 1 ? 255.0f : 65535.0f; }

/* Three colours of 8 bits, which most images have, four pixels of a row at a time. Other compilers,
   and other pixels, take the plain loops below. */
#if defined(__GNUC__) && !defined(__clang__)
#define SHUFFLES 1
typedef uint8_t bytes16 __attribute__((vector_size(16)));
typedef uint32_t words4 __attribute__((vector_size(16)));
typedef uint16_t values16 __attribute__((vector_size(2 * CELL)));

INLINE void load_colours(const char *line, Py_ssize_t row_bytes, int is_last, uint16_t to[][CELL]) {
    const bytes16 apart = {0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11, 12, 13, 14, 15};
    words4 rows[SIDE]; /* red, green and blue of four pixels; the last word is of the next cell */
    for (int y = 0; y < SIDE; y++, line += row_bytes) {
        bytes16 bytes = {0};
        if (is_last)
            memcpy(&bytes, line, SIDE * COLOURS);
        else
            memcpy(&bytes, line, sizeof bytes);
        rows[y] = (words4)__builtin_shuffle(bytes, apart);
    }
    const words4 upper = __builtin_shuffle(rows[0], rows[1], (words4){0, 4, 1, 5});
    const words4 lower = __builtin_shuffle(rows[2], rows[3], (words4){0, 4, 1, 5});
    const words4 blue_above = __builtin_shuffle(rows[0], rows[1], (words4){2, 6, 2, 6});
    const words4 blue_below = __builtin_shuffle(rows[2], rows[3], (words4){2, 6, 2, 6});
    const words4 colours[COLOURS] = {
        __builtin_shuffle(upper, lower, (words4){0, 1, 4, 5}),
        __builtin_shuffle(upper, lower, (words4){2, 3, 6, 7}),
        __builtin_shuffle(blue_above, blue_below, (words4){0, 1, 4, 5}),
    };
    for (int c = 0; c < COLOURS; c++) {
        const values16 values = __builtin_convertvector((bytes16)colours[c], values16);
        memcpy(to[c], &values, sizeof values);
    }
}

INLINE void store_colours(char *line, Py_ssize_t row_bytes, uint16_t from[][CELL]) {
    const bytes16 together = {0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11, 12, 13, 14, 15};
    words4 colours[COLOURS];
    for (int c = 0; c < COLOURS; c++) {
        values16 values;
        memcpy(&values, from[c], sizeof values);
        colours[c] = (words4)__builtin_convertvector(values, bytes16);
    }
    const words4 upper = __builtin_shuffle(colours[0], colours[1], (words4){0, 4, 1, 5});
    const words4 lower = __builtin_shuffle(colours[0], colours[1], (words4){2, 6, 3, 7});
    const words4 rows[SIDE] = {
        __builtin_shuffle(upper, colours[2], (words4){0, 1, 4, 4}),
        __builtin_shuffle(upper, colours[2], (words4){2, 3, 5, 5}),
        __builtin_shuffle(lower, colours[2], (words4){0, 1, 6, 6}),
        __builtin_shuffle(lower, colours[2], (words4){2, 3, 7, 7}),
    };
    for (int y = 0; y < SIDE; y++, line += row_bytes) {
        const bytes16 bytes = __builtin_shuffle((bytes16)rows[y], together);
        memcpy(line, &bytes, SIDE * COLOURS);
    }
}
#else
#define SHUFFLES 0
#define load_colours(line, row_bytes, is_last, to) (void)0
#define store_colours(line, row_bytes, from) (void)0
#endif

/* Values of one cell, colour by colour. */
INLINE void load(const Pixels *from, Py_ssize_t row, Py_ssize_t column, uint16_t to[][CELL]) {
    const int width = SIDE * from->channels;
    if (SHUFFLES && from->depth == 1 && from->channels == COLOURS) {
        const char *line = from->data + row * SIDE * from->row_bytes + column * width;
        load_colours(line, from->row_bytes, column + 1 == from->columns, to);
        return;
    }
    uint8_t bytes[CELL * COLOURS];
    uint16_t values[CELL * COLOURS];
    for (int y = 0; y < SIDE; y++) {
        const char *line = from->data + (row * SIDE + y) * from->row_bytes;
        line += column * width * from->depth;
        if (from->depth == 1)
            memcpy(bytes + y * width, line, width);
        else
            memcpy(values + y * width, line, 2 * width);
    }
    for (int k = 0; k < CELL; k++)
        for (int c = 0; c < from->channels; c++)
            to[c][k] = from->depth == 1 ? bytes[k * from->channels + c]
                                        : values[k * from->channels + c];
}

INLINE void store(const Pixels *to, Py_ssize_t row, Py_ssize_t column, uint16_t from[][CELL]) {
    const int width = SIDE * to->channels;
    if (SHUFFLES && to->depth == 1 && to->channels == COLOURS) {
        char *line = to->data + row * SIDE * to->row_bytes + column * width;
        store_colours(line, to->row_bytes, from);
        return;
    }
    uint8_t bytes[CELL * COLOURS];
    uint16_t values[CELL * COLOURS];
    for (int k = 0; k < CELL; k++)
        for (int c = 0; c < to->channels; c++)
            if (to->depth == 1)
                bytes[k * to->channels + c] = (uint8_t)from[c][k];
            else
                values[k * to->channels + c] = from[c][k];
    for (int y = 0; y < SIDE; y++) {
        char *line = to->data + (row * SIDE + y) * to->row_bytes + column * width * to->depth;
        if (to->depth == 1)
            memcpy(line, bytes + y * width, width);
        else
            memcpy(line, values + y * width, 2 * width);
    }
}

INLINE void survey_all(const Pixels *pixels, int32_t *sums, uint16_t *lowest, uint16_t *highest) {
    uint16_t q[COLOURS][CELL];
    for (Py_ssize_t i = 0, at = 0; i < pixels->rows; i++)
        for (Py_ssize_t j = 0; j < pixels->columns; j++) {
            load(pixels, i, j, q);
            for (int c = 0; c < pixels->channels; c++, at++) {
                uint16_t least = q[c][0], most = q[c][0];
                int32_t sum = 0;
                for (int k = 0; k < CELL; k++) {
                    least = q[c][k] < least ? q[c][k] : least;
                    most = q[c][k] > most ? q[c][k] : most;
                    sum += q[c][k];
                }
                sums[at] = sum;
                lowest[at] = least;
                highest[at] = most;
            }
        }
}

INLINE uint16_t half(float value) { /* float32 to bfloat16, rounded to even */
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

INLINE void put(void *to, int is_half, Py_ssize_t at, const float from[CELL]) {
    for (int k = 0; k < CELL; k++)
        if (is_half)
            ((uint16_t *)to)[at + k] = half(from[k]);
        else
            ((float *)to)[at + k] = from[k];
}

/* Less the mean of the cells around, or as they are where there are no sums. */
INLINE void pack_all(const Pixels *pixels, const int32_t *sums, int is_half, void *folded) {
    const int channels = pixels->channels;
    const Py_ssize_t step = pixels->columns * channels;
    uint16_t q[COLOURS][CELL];
    float made[CELL];
    for (Py_ssize_t i = 0, at = 0; i < pixels->rows; i++) {
        const Py_ssize_t top = i > 0 ? i - 1 : 0;
        const Py_ssize_t bottom = i + 1 < pixels->rows ? i + 1 : i;
        for (Py_ssize_t j = 0; j < pixels->columns; j++) {
            const Py_ssize_t left = j > 0 ? j - 1 : 0;
            const Py_ssize_t right = j + 1 < pixels->columns ? j + 1 : j;
            const int32_t count = (int32_t)((bottom - top + 1) * (right - left + 1)) * CELL;
            const int32_t times = sums ? count : 1;
            const float scale = (float)(1.0 / ((double)times * white_of(pixels)));
            load(pixels, i, j, q);
            for (int c = 0; c < COLOURS; c++, at += CELL) {
                const int of = channels == 1 ? 0 : c;
                int32_t sum = 0;
                for (Py_ssize_t y = top; sums && y <= bottom; y++)
                    for (Py_ssize_t x = left; x <= right; x++)
                        sum += sums[y * step + x * channels + of];
                for (int k = 0; k < CELL; k++)
                    made[k] = (float)(times * (int32_t)q[of][k] - sum) * scale;
                put(folded, is_half, at, made);
            }
        }
    }
}

INLINE float energy_of(const float mask[CELL]) {
    float sums[CELL];
    for (int k = 0; k < CELL; k++)
        sums[k] = mask[k] * mask[k];
    for (int half_of = CELL / 2; half_of; half_of /= 2)
        for (int k = 0; k < half_of; k++)
            sums[k] = sums[k] + sums[k + half_of];
    return sums[0];
}

INLINE void gates_all(
    const float *mask, Py_ssize_t rows, Py_ssize_t columns, float floor, float *energies, float *gate
) {
    for (Py_ssize_t at = 0; at < rows * columns; at++)
        energies[at] = energy_of(mask + at * CELL);
    for (Py_ssize_t i = 0; i < rows; i++)
        for (Py_ssize_t j = 0; j < columns; j++) {
            float sum = 0, cells = 0;
            for (Py_ssize_t x = j > 0 ? j - 1 : 0; x <= j + 1 && x < columns; x++) {
                float tall = 0;
                for (Py_ssize_t y = i > 0 ? i - 1 : 0; y <= i + 1 && y < rows; y++) {
                    tall = tall + energies[y * columns + x];
                    cells++;
                }
                sum = sum + tall;
            }
            const float energy = sum / (cells * CELL);
            const float whole = energy + floor;
            gate[i * columns + j] = energy / (whole < 1e-30f ? 1e-30f : whole);
        }
}

/* Interpolation between the centres of cells: first down, for the four rows of a row of cells. */
INLINE void down(
    const float *cells, Py_ssize_t rows, Py_ssize_t wide, Py_ssize_t row, float *lines
) {
    static const float before[SIDE] = {0.375f, 0.125f, 0.875f, 0.625f};
    for (int y = 0; y < SIDE; y++) {
        Py_ssize_t upper = row - (y < SIDE / 2), lower = upper + 1;
        const float weight = before[y], other = 1.0f - weight;
        const float *one = cells + (upper < 0 ? 0 : upper) * wide;
        const float *two = cells + (lower < rows ? lower : rows - 1) * wide;
        for (Py_ssize_t x = 0; x < wide; x++)
            lines[y * wide + x] = one[x] * weight + two[x] * other;
    }
}

/* Then across, for the pixels of one cell. */
INLINE void across(
    const float *lines, Py_ssize_t columns, int channels, Py_ssize_t column, int c, float to[CELL]
) {
    const floats4 before = {0.375f, 0.125f, 0.875f, 0.625f}, after = {0.625f, 0.875f, 0.125f, 0.375f};
    const Py_ssize_t left = column > 0 ? column - 1 : 0;
    const Py_ssize_t right = column + 1 < columns ? column + 1 : column;
    for (int y = 0; y < SIDE; y++) {
        const float *line = lines + y * columns * channels + c;
        const float l = line[left * channels], m = line[column * channels];
        const float r = line[right * channels];
        const floats4 one = {l, l, m, m}, two = {m, m, r, r};
        const floats4 made = one * before + two * after;
        memcpy(to + y * SIDE, &made, sizeof made);
    }
}

/* The change of one cell of the pixels, in levels, each pixel kept within black and white. */
INLINE void change_of(
    const Change *change, const Pixels *pixels, Py_ssize_t cell, const float *gate,
    uint16_t q[][CELL], float to[][CELL]
) {
    float added[CELL], each[COLOURS][CELL];
    const float white = white_of(pixels);
    for (int k = 0; k < CELL && change->mask; k++)
        added[k] = change->mask[cell * CELL + k] * gate[k];
    for (int c = 0; c < COLOURS; c++)
        for (int k = 0; k < CELL; k++) {
            const Py_ssize_t at = (cell * COLOURS + c) * CELL + k;
            const float value = (float)q[pixels->channels == 1 ? 0 : c][k];
            float detail;
            if (change->is_half) {
                const uint32_t bits = (uint32_t)((const uint16_t *)change->detail)[at] << 16;
                memcpy(&detail, &bits, 4);
            } else
                detail = ((const float *)change->detail)[at];
            if (change->calm)
                detail = detail * change->calm[cell];
            if (change->mask)
                detail = detail + added[k];
            each[c][k] = clamped(detail * change->scale, -value, white - value);
        }
    for (int k = 0; k < CELL; k++)
        if (pixels->channels == 1)
            to[0][k] = ((each[0][k] + each[1][k]) + each[2][k]) * (1.0f / COLOURS);
        else
            for (int c = 0; c < COLOURS; c++)
                to[c][k] = each[c][k];
}

INLINE void sum_all(const Pixels *pixels, const Change *change, float *lines, int32_t *sums) {
    const float unit = (float)((1 << 20) / ((int)white_of(pixels) + 1));
    uint16_t q[COLOURS][CELL];
    float made[COLOURS][CELL], gate[CELL];
    for (Py_ssize_t i = 0, cell = 0; i < pixels->rows; i++) {
        if (change->mask)
            down(change->gate, pixels->rows, pixels->columns, i, lines);
        for (Py_ssize_t j = 0; j < pixels->columns; j++, cell++) {
            if (change->mask)
                across(lines, pixels->columns, 1, j, 0, gate);
            load(pixels, i, j, q);
            change_of(change, pixels, cell, gate, q, made);
            for (int c = 0; c < pixels->channels; c++) {
                int32_t sum = 0;
                for (int k = 0; k < CELL; k++)
                    sum += (int32_t)rounded(made[c][k] * unit);
                sums[cell * pixels->channels + c] = sum;
            }
        }
    }
}

INLINE Py_ssize_t mirrored(Py_ssize_t at, Py_ssize_t size) {
    at = at % (2 * size);
    at = at < 0 ? at + 2 * size : at;
    return at < size ? at : 2 * size - 1 - at;
}

/* Sums over 9 x 9 cells, whole numbers, so that running sums are exact. */
INLINE void means_all(
    const int32_t *sums, Py_ssize_t rows, Py_ssize_t columns, int channels, float scale,
    int32_t *tall, float *means
) {
    const Py_ssize_t wide = columns * channels;
    memset(tall, 0, wide * sizeof *tall);
    for (Py_ssize_t i = -REACH; i < REACH; i++)
        for (Py_ssize_t x = 0; x < wide; x++)
            tall[x] += sums[mirrored(i, rows) * wide + x];
    for (Py_ssize_t i = 0; i < rows; i++) {
        const int32_t *enters = sums + mirrored(i + REACH, rows) * wide;
        const int32_t *leaves = sums + mirrored(i - REACH, rows) * wide;
        for (Py_ssize_t x = 0; x < wide; x++)
            tall[x] += enters[x];
        for (int c = 0; c < channels; c++) {
            int32_t sum = 0;
            for (Py_ssize_t j = -REACH; j < REACH; j++)
                sum += tall[mirrored(j, columns) * channels + c];
            for (Py_ssize_t j = 0; j < columns; j++) {
                sum += tall[mirrored(j + REACH, columns) * channels + c];
                means[i * wide + j * channels + c] = (float)sum * scale;
                sum -= tall[mirrored(j - REACH, columns) * channels + c];
            }
        }
        for (Py_ssize_t x = 0; x < wide; x++)
            tall[x] -= leaves[x];
    }
}

typedef struct {
    const float *means;
    const uint16_t *lowest, *highest;
    int margin;
    Pixels out;
    Py_ssize_t top, left;
} Finish;

/* The range that 3 x 3 cells and the margin leave to each cell of a row; lines is scratch. */
INLINE void limits_of(
    const Finish *finish, const Pixels *pixels, Py_ssize_t row, uint16_t *lines, float *least,
    float *most
) {
    const int channels = pixels->channels, white = (int)white_of(pixels);
    const Py_ssize_t wide = pixels->columns * channels;
    const Py_ssize_t up = row > 0 ? -wide : 0, down_by = row + 1 < pixels->rows ? wide : 0;
    const uint16_t *lowest = finish->lowest + row * wide, *highest = finish->highest + row * wide;
    /* The edge repeated: a cell before the first, one behind the last. */
    uint16_t *low = lines + channels, *high = low + wide + 2 * channels;
    for (Py_ssize_t x = 0; x < wide; x++) {
        low[x] = smaller(smaller(lowest[x + up], lowest[x]), lowest[x + down_by]);
        high[x] = larger(larger(highest[x + up], highest[x]), highest[x + down_by]);
    }
    for (int c = 0; c < channels; c++) {
        low[c - channels] = low[c], low[wide + c] = low[wide - channels + c];
        high[c - channels] = high[c], high[wide + c] = high[wide - channels + c];
    }
    for (Py_ssize_t x = 0; x < wide; x++) {
        const int l = smaller(smaller(low[x - channels], low[x]), low[x + channels]);
        const int h = larger(larger(high[x - channels], high[x]), high[x + channels]);
        least[x] = (float)(l < finish->margin ? 0 : l - finish->margin);
        most[x] = (float)(h > white - finish->margin ? white : h + finish->margin);
    }
}

typedef struct {
    float *gates, *shifts, *least, *most;
    uint16_t *lines;
} Lines;

INLINE void finish_all(
    const Pixels *pixels, const Change *change, const Finish *finish, const Lines *lines
) {
    const int channels = pixels->channels;
    uint16_t q[COLOURS][CELL], result[COLOURS][CELL];
    float made[COLOURS][CELL], gate[CELL], shift[CELL];
    for (Py_ssize_t y = 0; y < finish->out.rows; y++) {
        const Py_ssize_t i = finish->top + y;
        if (change->mask)
            down(change->gate, pixels->rows, pixels->columns, i, lines->gates);
        down(finish->means, pixels->rows, pixels->columns * channels, i, lines->shifts);
        limits_of(finish, pixels, i, lines->lines, lines->least, lines->most);
        for (Py_ssize_t x = 0; x < finish->out.columns; x++) {
            const Py_ssize_t j = finish->left + x;
            if (change->mask)
                across(lines->gates, pixels->columns, 1, j, 0, gate);
            load(pixels, i, j, q);
            change_of(change, pixels, i * pixels->columns + j, gate, q, made);
            for (int c = 0; c < channels; c++) {
                const float least = lines->least[j * channels + c];
                const float most = lines->most[j * channels + c];
                across(lines->shifts, pixels->columns, channels, j, c, shift);
                for (int k = 0; k < CELL; k++) {
                    const float value = (float)q[c][k] + (made[c][k] - shift[k]);
                    result[c][k] = (uint16_t)(int32_t)rounded(clamped(value, least, most));
                }
            }
            store(&finish->out, y, x, result);
        }
    }
}

/* Luma of one row of `wide` pixels, the edge repeated up to `width` values. */
INLINE void luma_line(
    const Pixels *pixels, Py_ssize_t row, Py_ssize_t wide, const float weights[COLOURS],
    Py_ssize_t width, float *restrict line
) {
    const char *from = pixels->data + row * pixels->row_bytes;
    const int channels = pixels->channels;
    float *restrict inner = line + BAND_REACH;
    for (Py_ssize_t x = 0; x < wide; x++) {
        float sum = 0;
        for (int c = 0; c < channels; c++) {
            const Py_ssize_t at = x * channels + c;
            const float value = pixels->depth == 1 ? (float)((const uint8_t *)from)[at]
                                                   : (float)((const uint16_t *)from)[at];
            sum = c ? sum + value * weights[c] : value * weights[c];
        }
        inner[x] = sum;
    }
    for (Py_ssize_t x = 0; x < BAND_REACH; x++)
        line[x] = inner[0];
    for (Py_ssize_t x = wide; x < width - BAND_REACH; x++)
        inner[x] = inner[wide - 1];
}

/* The same by columns of cells: pixel SIDE * j + p at to[p * cells + BAND_EDGE + j]. */
INLINE void row_of_luma(
    const Pixels *pixels, Py_ssize_t row, const float weights[COLOURS], float *line,
    Py_ssize_t cells, float *restrict to
) {
    luma_line(pixels, row, pixels->columns, weights, SIDE * cells, line);
    for (int p = 0; p < SIDE; p++)
        for (Py_ssize_t j = 0; j < cells; j++)
            to[p * cells + j] = line[SIDE * j + p];
}

/* A symmetric blur across lines: those before and after the middle one have the same weight. */
INLINE void blurred(
    const float *const from[2 * BAND_REACH + 1], const float taps[BAND_REACH + 1], int reach,
    Py_ssize_t count, float *restrict to
) {
    for (Py_ssize_t x = 0; x < count; x++) {
        float sum = from[BAND_REACH][x] * taps[0];
        for (int k = 1; k <= reach; k++)
            sum = sum + (from[BAND_REACH - k][x] + from[BAND_REACH + k][x]) * taps[k];
        to[x] = sum;
    }
}

typedef struct {
    float weights[COLOURS];
    const float *taps; /* BANDS x (BAND_REACH + 1) */
    float *ring, *line, *tall, *wide;
    float *made; /* BANDS x rows x columns of cells */
} Bands;

/* What is between two blurs, squared, at one pixel of each row of a cell. */
INLINE void bands_all(const Pixels *pixels, const Bands *bands) {
    static const int sampled[SIDE] = {1, 3, 0, 2};
    const Py_ssize_t rows = (pixels->rows + SIDE - 1) / SIDE;
    const Py_ssize_t columns = (pixels->columns + SIDE - 1) / SIDE;
    const Py_ssize_t cells = columns + 2 * BAND_EDGE, width = SIDE * cells;
    Py_ssize_t there = 0;
    for (Py_ssize_t y = 0; y < SIDE * rows; y++) {
        const float *from[2 * BAND_REACH + 1];
        for (int k = 0; k <= 2 * BAND_REACH; k++) {
            Py_ssize_t row = y + k - BAND_REACH;
            row = row < 0 ? 0 : row >= pixels->rows ? pixels->rows - 1 : row;
            for (; there <= row; there++)
                row_of_luma(pixels, there, bands->weights, bands->line, cells,
                            bands->ring + there % RING * width);
            from[k] = bands->ring + row % RING * width;
        }
        const int column = sampled[y % SIDE];
        const float *finer = from[BAND_REACH] + column * cells + BAND_EDGE;
        for (int b = 0; b < BANDS; b++) {
            const float *taps = bands->taps + b * (BAND_REACH + 1), *across[2 * BAND_REACH + 1];
            float *coarser = bands->wide + b * columns;
            float *energy = bands->made + (b * rows + y / SIDE) * columns;
            if (b == 0)
                blurred(from, taps, NARROW, width, bands->tall);
            else
                blurred(from, taps, BAND_REACH, width, bands->tall);
            for (int k = 0; k <= 2 * BAND_REACH; k++) {
                const int at = column + k - BAND_REACH + SIDE * BAND_EDGE;
                across[k] = bands->tall + at % SIDE * cells + at / SIDE;
            }
            if (b == 0)
                blurred(across, taps, NARROW, columns, coarser);
            else
                blurred(across, taps, BAND_REACH, columns, coarser);
            for (Py_ssize_t j = 0; j < columns; j++) {
                const float band = finer[j] - coarser[j];
                const float sum = (y % SIDE ? energy[j] : 0.0f) + band * band;
                energy[j] = y % SIDE == SIDE - 1 ? sum * (1.0f / SIDE) : sum;
            }
            finer = coarser;
        }
    }
}

typedef struct {
    float weights[COLOURS], gains[BANDS];
    const float *taps; /* BANDS x (BAND_REACH + 1) */
    float *ring, *tall, *lines;
    float *made; /* rows x columns x 16 of cells */
} Mask;

/* The sum of what is between two blurs, times the gains, for pixels in whole cells. */
INLINE void mask_all(const Pixels *pixels, const Mask *mask) {
    const Py_ssize_t rows = SIDE * pixels->rows, wide = SIDE * pixels->columns;
    const Py_ssize_t width = wide + 2 * BAND_REACH;
    float *finest = mask->lines, *sum = finest + BANDS * wide;
    Py_ssize_t there = 0;
    for (Py_ssize_t y = 0; y < rows; y++) {
        const float *from[2 * BAND_REACH + 1];
        for (int k = 0; k <= 2 * BAND_REACH; k++) {
            Py_ssize_t row = y + k - BAND_REACH;
            row = row < 0 ? 0 : row >= rows ? rows - 1 : row;
            for (; there <= row; there++)
                luma_line(pixels, there, wide, mask->weights, width,
                          mask->ring + there % RING * width);
            from[k] = mask->ring + row % RING * width;
        }
        for (int b = 0; b < BANDS; b++) {
            const float *taps = mask->taps + b * (BAND_REACH + 1), *across[2 * BAND_REACH + 1];
            for (int k = 0; k <= 2 * BAND_REACH; k++)
                across[k] = mask->tall + k;
            if (b == 0) {
                blurred(from, taps, NARROW, width, mask->tall);
                blurred(across, taps, NARROW, wide, finest);
            } else {
                blurred(from, taps, BAND_REACH, width, mask->tall);
                blurred(across, taps, BAND_REACH, wide, finest + b * wide);
            }
        }
        const float *restrict pixel = from[BAND_REACH] + BAND_REACH, *restrict fine = finest;
        const float *restrict middle = finest + wide, *restrict coarse = middle + wide;
        const float first = mask->gains[0], second = mask->gains[1], third = mask->gains[2];
        for (Py_ssize_t x = 0; x < wide; x++)
            sum[x] = ((pixel[x] - fine[x]) * first + (fine[x] - middle[x]) * second) +
                     (middle[x] - coarse[x]) * third;
        float *to = mask->made + (y / SIDE * pixels->columns * SIDE + y % SIDE) * SIDE;
        for (Py_ssize_t j = 0; j < pixels->columns; j++)
            memcpy(to + j * CELL, sum + j * SIDE, SIDE * sizeof *to);
    }
}

/* With depth and channels as constants the compiler unrolls the cells. */
#define BY_KIND(pixels, call)                                                                      \
    do {                                                                                           \
        Pixels of = *(pixels);                                                                     \
        if (of.depth == 1 && of.channels == 3) {                                                   \
            of.depth = 1, of.channels = 3;                                                         \
            call;                                                                                  \
        } else if (of.depth == 1) {                                                                \
            of.depth = 1, of.channels = 1;                                                         \
            call;                                                                                  \
        } else if (of.channels == 3) {                                                             \
            of.depth = 2, of.channels = 3;                                                         \
            call;                                                                                  \
        } else {                                                                                   \
            of.depth = 2, of.channels = 1;                                                         \
            call;                                                                                  \
        }                                                                                          \
    } while (0)

PASS void survey_pass(const Pixels *pixels, int32_t *sums, uint16_t *lowest, uint16_t *highest) {
    BY_KIND(pixels, survey_all(&of, sums, lowest, highest));
}

PASS void pack_pass(const Pixels *pixels, const int32_t *sums, int is_half, void *folded) {
    if (is_half)
        BY_KIND(pixels, pack_all(&of, sums, 1, folded));
    else
        BY_KIND(pixels, pack_all(&of, sums, 0, folded));
}

PASS void gates_pass(
    const float *mask, Py_ssize_t rows, Py_ssize_t columns, float floor, float *energies, float *gate
) {
    gates_all(mask, rows, columns, floor, energies, gate);
}

PASS void sum_pass(const Pixels *pixels, const Change *change, float *lines, int32_t *sums) {
    Change how = *change;
    if (how.is_half) {
        how.is_half = 1;
        BY_KIND(pixels, sum_all(&of, &how, lines, sums));
    } else {
        how.is_half = 0;
        BY_KIND(pixels, sum_all(&of, &how, lines, sums));
    }
}

WIDE_PASS void bands_pass(const Pixels *pixels, const Bands *bands) {
    BY_KIND(pixels, bands_all(&of, bands));
}

WIDE_PASS void mask_pass(const Pixels *pixels, const Mask *how) {
    BY_KIND(pixels, mask_all(&of, how));
}

PASS void means_pass(
    const int32_t *sums, Py_ssize_t rows, Py_ssize_t columns, int channels, float scale,
    int32_t *tall, float *means
) {
    means_all(sums, rows, columns, channels, scale, tall, means);
}

PASS void finish_pass(
    const Pixels *pixels, const Change *change, const Finish *finish, const Lines *lines
) {
    Change how = *change;
    if (how.is_half) {
        how.is_half = 1;
        BY_KIND(pixels, finish_all(&of, &how, finish, lines));
    } else {
        how.is_half = 0;
        BY_KIND(pixels, finish_all(&of, &how, finish, lines));
    }
}

/* H x W x C values of one or two bytes, their rows anywhere; rows and columns are of pixels. */
static int take_values(PyObject *array, int flags, Py_buffer *view, Pixels *pixels) {
    if (PyObject_GetBuffer(array, view, PyBUF_STRIDES | flags) < 0)
        return -1;
    const Py_ssize_t *shape = view->shape, *strides = view->strides;
    if (view->ndim == 3 && shape[0] && shape[1] && (shape[2] == 1 || shape[2] == COLOURS) &&
        (view->itemsize == 1 || view->itemsize == 2) && strides[2] == view->itemsize &&
        strides[1] == shape[2] * view->itemsize) {
        *pixels = (Pixels){view->buf, strides[0], shape[0], shape[1], (int)shape[2],
                           (int)view->itemsize};
        return 0;
    }
    PyBuffer_Release(view);
    PyErr_SetString(PyExc_ValueError, "pixels are H x W x 1 or 3 of 8 or 16 bits");
    return -1;
}

/* The same in whole cells; rows and columns are of cells. */
static int take_pixels(PyObject *array, int flags, Py_buffer *view, Pixels *pixels) {
    if (take_values(array, flags, view, pixels) < 0)
        return -1;
    if (pixels->rows % SIDE == 0 && pixels->columns % SIDE == 0) {
        pixels->rows /= SIDE, pixels->columns /= SIDE;
        return 0;
    }
    PyBuffer_Release(view);
    PyErr_SetString(PyExc_ValueError, "pixels do not come in whole cells");
    return -1;
}

static int has(const Py_buffer *view, Py_ssize_t values, Py_ssize_t bytes) {
    if (view->buf == NULL || view->len == values * bytes)
        return 1;
    PyErr_Format(PyExc_ValueError, "an array of %zd bytes is not %zd values", view->len, values);
    return 0;
}

/* The arrays of a change, which belong to so many cells. */
static int take_change(
    const Py_buffer *detail, const Py_buffer *calm, const Py_buffer *mask, const Py_buffer *gate,
    float scale, Py_ssize_t cells, Change *change
) {
    const int is_half = detail->len == cells * CELL * COLOURS * 2;
    *change = (Change){detail->buf, is_half, calm->buf, mask->buf, gate->buf, scale};
    if (!mask->buf != !gate->buf) {
        PyErr_SetString(PyExc_ValueError, "mask and gate come together");
        return 0;
    }
    return (is_half || has(detail, cells * CELL * COLOURS, 4)) && has(calm, cells, 4) &&
           has(mask, cells * CELL, 4) && has(gate, cells, 4);
}

static void *room(Py_ssize_t values) {
    void *made = malloc(4 * (size_t)values);
    if (made == NULL)
        PyErr_NoMemory();
    return made;
}

static PyObject *nothing_unless_failed(void) {
    if (PyErr_Occurred())
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *survey(PyObject *self, PyObject *arguments) {
    PyObject *array;
    Pixels pixels;
    Py_buffer view, sums, lowest, highest;
    (void)self;
    if (!PyArg_ParseTuple(arguments, "Ow*w*w*", &array, &sums, &lowest, &highest))
        return NULL;
    if (take_pixels(array, 0, &view, &pixels) == 0) {
        const Py_ssize_t values = pixels.rows * pixels.columns * pixels.channels;
        if (has(&sums, values, 4) && has(&lowest, values, 2) && has(&highest, values, 2)) {
            Py_BEGIN_ALLOW_THREADS;
            survey_pass(&pixels, sums.buf, lowest.buf, highest.buf);
            Py_END_ALLOW_THREADS;
        }
        PyBuffer_Release(&view);
    }
    PyBuffer_Release(&sums);
    PyBuffer_Release(&lowest);
    PyBuffer_Release(&highest);
    return nothing_unless_failed();
}

static PyObject *pack(PyObject *self, PyObject *arguments) {
    PyObject *array;
    Pixels pixels;
    Py_buffer view, sums, folded;
    (void)self;
    if (!PyArg_ParseTuple(arguments, "Oz*w*", &array, &sums, &folded))
        return NULL;
    if (take_pixels(array, 0, &view, &pixels) == 0) {
        const Py_ssize_t cells = pixels.rows * pixels.columns;
        const int is_half = folded.len == cells * CELL * COLOURS * 2;
        if (has(&sums, cells * pixels.channels, 4) &&
            (is_half || has(&folded, cells * CELL * COLOURS, 4))) {
            Py_BEGIN_ALLOW_THREADS;
            pack_pass(&pixels, sums.buf, is_half, folded.buf);
            Py_END_ALLOW_THREADS;
        }
        PyBuffer_Release(&view);
    }
    PyBuffer_Release(&sums);
    PyBuffer_Release(&folded);
    return nothing_unless_failed();
}

static PyObject *mask(PyObject *self, PyObject *arguments) {
    PyObject *array;
    Pixels pixels;
    Mask how;
    Py_buffer view, taps, made;
    (void)self;
    if (!PyArg_ParseTuple(
            arguments, "O(fff)y*(fff)w*", &array, how.weights, how.weights + 1, how.weights + 2,
            &taps, how.gains, how.gains + 1, how.gains + 2, &made))
        return NULL;
    if (take_pixels(array, 0, &view, &pixels) == 0) {
        const Py_ssize_t wide = SIDE * pixels.columns, width = wide + 2 * BAND_REACH;
        if (has(&taps, BANDS * (BAND_REACH + 1), 4) &&
            has(&made, pixels.rows * pixels.columns * CELL, 4) &&
            (how.ring = room((RING + 1) * width + (BANDS + 1) * wide)) != NULL) {
            how.tall = how.ring + RING * width, how.lines = how.tall + width;
            how.taps = taps.buf, how.made = made.buf;
            Py_BEGIN_ALLOW_THREADS;
            mask_pass(&pixels, &how);
            Py_END_ALLOW_THREADS;
            free(how.ring);
        }
        PyBuffer_Release(&view);
    }
    PyBuffer_Release(&taps);
    PyBuffer_Release(&made);
    return nothing_unless_failed();
}

static PyObject *gates(PyObject *self, PyObject *arguments) {
    Py_ssize_t rows, columns;
    Py_buffer mask, gate;
    float floor, *energies;
    (void)self;
    if (!PyArg_ParseTuple(arguments, "y*(nn)fw*", &mask, &rows, &columns, &floor, &gate))
        return NULL;
    if (rows > 0 && columns > 0 && has(&mask, rows * columns * CELL, 4) &&
        has(&gate, rows * columns, 4) && (energies = room(rows * columns)) != NULL) {
        Py_BEGIN_ALLOW_THREADS;
        gates_pass(mask.buf, rows, columns, floor, energies, gate.buf);
        Py_END_ALLOW_THREADS;
        free(energies);
    }
    PyBuffer_Release(&mask);
    PyBuffer_Release(&gate);
    return nothing_unless_failed();
}

static PyObject *sum(PyObject *self, PyObject *arguments) {
    PyObject *array;
    Pixels pixels;
    Change change;
    Py_buffer view, detail, calm, mask, gate, sums;
    float scale, *lines;
    (void)self;
    if (!PyArg_ParseTuple(
            arguments, "Oy*z*z*z*fw*", &array, &detail, &calm, &mask, &gate, &scale, &sums))
        return NULL;
    if (take_pixels(array, 0, &view, &pixels) == 0) {
        const Py_ssize_t cells = pixels.rows * pixels.columns;
        if (take_change(&detail, &calm, &mask, &gate, scale, cells, &change) &&
            has(&sums, cells * pixels.channels, 4) &&
            (lines = room(pixels.columns * SIDE)) != NULL) {
            Py_BEGIN_ALLOW_THREADS;
            sum_pass(&pixels, &change, lines, sums.buf);
            Py_END_ALLOW_THREADS;
            free(lines);
        }
        PyBuffer_Release(&view);
    }
    PyBuffer_Release(&detail);
    PyBuffer_Release(&calm);
    PyBuffer_Release(&mask);
    PyBuffer_Release(&gate);
    PyBuffer_Release(&sums);
    return nothing_unless_failed();
}

static PyObject *means(PyObject *self, PyObject *arguments) {
    Py_ssize_t rows, columns;
    int channels;
    Py_buffer sums, made;
    float scale;
    int32_t *tall;
    (void)self;
    if (!PyArg_ParseTuple(
            arguments, "y*(nni)fw*", &sums, &rows, &columns, &channels, &scale, &made))
        return NULL;
    if (rows > 0 && columns > 0 && channels > 0 && has(&sums, rows * columns * channels, 4) &&
        has(&made, rows * columns * channels, 4) && (tall = room(columns * channels)) != NULL) {
        Py_BEGIN_ALLOW_THREADS;
        means_pass(sums.buf, rows, columns, channels, scale, tall, made.buf);
        Py_END_ALLOW_THREADS;
        free(tall);
    }
    PyBuffer_Release(&sums);
    PyBuffer_Release(&made);
    return nothing_unless_failed();
}

static int fits(const Pixels *pixels, const Finish *finish) {
    const Pixels *out = &finish->out;
    if (out->depth == pixels->depth && out->channels == pixels->channels && finish->top >= 0 &&
        finish->left >= 0 && finish->top <= pixels->rows - out->rows &&
        finish->left <= pixels->columns - out->columns && finish->margin >= 0)
        return 1;
    PyErr_SetString(PyExc_ValueError, "the output is no part of the pixels");
    return 0;
}

static PyObject *finish(PyObject *self, PyObject *arguments) {
    PyObject *array, *output;
    Pixels pixels;
    Change change;
    Finish how;
    Py_buffer view, to, detail, calm, mask, gate, shifts, lowest, highest;
    float scale;
    (void)self;
    if (!PyArg_ParseTuple(
            arguments, "Oy*z*z*z*fy*y*y*iO(nn)", &array, &detail, &calm, &mask, &gate, &scale,
            &shifts, &lowest, &highest, &how.margin, &output, &how.top, &how.left))
        return NULL;
    how.means = shifts.buf, how.lowest = lowest.buf, how.highest = highest.buf;
    if (take_pixels(array, 0, &view, &pixels) == 0) {
        const Py_ssize_t cells = pixels.rows * pixels.columns, values = cells * pixels.channels;
        if (take_change(&detail, &calm, &mask, &gate, scale, cells, &change) &&
            has(&shifts, values, 4) && has(&lowest, values, 2) && has(&highest, values, 2) &&
            take_pixels(output, PyBUF_WRITABLE, &to, &how.out) == 0) {
            const Py_ssize_t wide = pixels.columns * pixels.channels;
            float *start = NULL;
            if (fits(&pixels, &how) && (start = room(4 * pixels.columns + 8 * wide + 8)) != NULL) {
                Lines lines = {start, start + 4 * pixels.columns, NULL, NULL, NULL};
                lines.least = lines.shifts + 4 * wide;
                lines.most = lines.least + wide;
                lines.lines = (uint16_t *)(lines.most + wide);
                Py_BEGIN_ALLOW_THREADS;
                finish_pass(&pixels, &change, &how, &lines);
                Py_END_ALLOW_THREADS;
            }
            free(start);
            PyBuffer_Release(&to);
        }
        PyBuffer_Release(&view);
    }
    PyBuffer_Release(&detail);
    PyBuffer_Release(&calm);
    PyBuffer_Release(&mask);
    PyBuffer_Release(&gate);
    PyBuffer_Release(&shifts);
    PyBuffer_Release(&lowest);
    PyBuffer_Release(&highest);
    return nothing_unless_failed();
}

static PyObject *bands(PyObject *self, PyObject *arguments) {
    PyObject *array;
    Pixels pixels;
    Bands how;
    Py_buffer view, taps, made;
    (void)self;
    if (!PyArg_ParseTuple(
            arguments, "O(fff)y*w*", &array, how.weights, how.weights + 1, how.weights + 2, &taps,
            &made))
        return NULL;
    if (take_values(array, 0, &view, &pixels) == 0) {
        const Py_ssize_t rows = (pixels.rows + SIDE - 1) / SIDE;
        const Py_ssize_t columns = (pixels.columns + SIDE - 1) / SIDE;
        const Py_ssize_t width = SIDE * (columns + 2 * BAND_EDGE);
        if (has(&taps, BANDS * (BAND_REACH + 1), 4) && has(&made, BANDS * rows * columns, 4) &&
            (how.ring = room((RING + 2) * width + BANDS * columns)) != NULL) {
            how.line = how.ring + RING * width, how.tall = how.line + width;
            how.wide = how.tall + width, how.taps = taps.buf, how.made = made.buf;
            Py_BEGIN_ALLOW_THREADS;
            bands_pass(&pixels, &how);
            Py_END_ALLOW_THREADS;
            free(how.ring);
        }
        PyBuffer_Release(&view);
    }
    PyBuffer_Release(&taps);
    PyBuffer_Release(&made);
    return nothing_unless_failed();
}

static PyMethodDef methods[] = {
    {"bands", bands, METH_VARARGS, "Energies of bands in each cell."},
    {"survey", survey, METH_VARARGS, "Sum, minimum and maximum of each cell."},
    {"pack", pack, METH_VARARGS, "Convert pixels to what a network takes."},
    {"mask", mask, METH_VARARGS, "Compute a mask of bands of luma."},
    {"gates", gates, METH_VARARGS, "Compute the gate of an adaptive mask."},
    {"sum", sum, METH_VARARGS, "Sum the change of each cell."},
    {"means", means, METH_VARARGS, "Compute local means of sums."},
    {"finish", finish, METH_VARARGS, "Add a change to pixels, less its means, within bounds."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_packing", "Passes over pixels, see plain_packing.py.", 0, methods,
    slots, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__packing(void) { return PyModuleDef_Init(&definition); }
