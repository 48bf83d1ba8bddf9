/* Bands of luma, what is between two blurs: their energies, and a mask of them. */

#define BANDS 3
#define BAND_REACH 8 /* pixels to each side that a blur depends on */
#define NARROW 4     /* the same for the first blur: its weights further out are none */
#define BAND_EDGE (BAND_REACH / SIDE)
#define RING 32 /* rows kept, at least 2 * BAND_REACH + 1 */

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
            const float value = (float)value_at(from, pixels->depth, at);
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

/* The blurs of all bands across the same lines, which are read once. */
INLINE void blurred_by_all(
    const float *const from[2 * BAND_REACH + 1], const float *taps, Py_ssize_t count,
    float *restrict fine, float *restrict middle, float *restrict coarse
) {
    const float *second = taps + BAND_REACH + 1, *third = second + BAND_REACH + 1;
    for (Py_ssize_t x = 0; x < count; x++) {
        const float at = from[BAND_REACH][x];
        float one = at * taps[0], two = at * second[0], three = at * third[0];
        for (int k = 1; k <= BAND_REACH; k++) {
            const float both = from[BAND_REACH - k][x] + from[BAND_REACH + k][x];
            one = k <= NARROW ? one + both * taps[k] : one;
            two = two + both * second[k];
            three = three + both * third[k];
        }
        fine[x] = one, middle[x] = two, coarse[x] = three;
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
        blurred_by_all(from, bands->taps, width, bands->tall, bands->tall + width,
                       bands->tall + 2 * width);
        const int column = sampled[y % SIDE];
        const float *finer = from[BAND_REACH] + column * cells + BAND_EDGE;
        for (int b = 0; b < BANDS; b++) {
            const float *taps = bands->taps + b * (BAND_REACH + 1), *across[2 * BAND_REACH + 1];
            float *coarser = bands->wide + b * columns;
            float *energy = bands->made + (b * rows + y / SIDE) * columns;
            for (int k = 0; k <= 2 * BAND_REACH; k++) {
                const int at = column + k - BAND_REACH + SIDE * BAND_EDGE;
                across[k] = bands->tall + b * width + at % SIDE * cells + at / SIDE;
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
        blurred_by_all(from, mask->taps, width, mask->tall, mask->tall + width,
                       mask->tall + 2 * width);
        for (int b = 0; b < BANDS; b++) {
            const float *taps = mask->taps + b * (BAND_REACH + 1), *across[2 * BAND_REACH + 1];
            for (int k = 0; k <= 2 * BAND_REACH; k++)
                across[k] = mask->tall + b * width + k;
            if (b == 0)
                blurred(across, taps, NARROW, wide, finest);
            else
                blurred(across, taps, BAND_REACH, wide, finest + b * wide);
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
