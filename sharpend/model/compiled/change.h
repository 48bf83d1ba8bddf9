/* The change of pixels that a network and its adaptive mask make, and its sum in each cell. */

/* Cells that go through one step together. A load that is wider than the stores before it waits
   until they are in the cache (no store forwarding): those of a batch's first cell are by then. */
#define BATCH 16

typedef struct {
    const void *detail; /* rows x columns x 48, float32 or bfloat16 */
    int is_half;
    const float *calm; /* rows x columns, scales the detail of a cell; NULL for one */
    const float *mask, *gate; /* rows x columns x 16, rows x columns; NULL without a mask */
    float scale;
} Change;

INLINE int at_most_batch(Py_ssize_t cells) { return cells < BATCH ? (int)cells : BATCH; }

INLINE float rounded(float value) { /* to even; below 2^22 */
    const float magic = 12582912.0f;
    return (value + magic) - magic;
}

INLINE float clamped(float value, float least, float most) {
    value = value < least ? least : value;
    return value > most ? most : value;
}

/* The sum of squares of a cell, by halves, as numpy's pass adds them. */
INLINE float energy_of(const float mask[CELL]) {
    floats4 rows[SIDE];
    memcpy(rows, mask, sizeof rows);
    const floats4 sum = (rows[0] * rows[0] + rows[2] * rows[2]) +
                        (rows[1] * rows[1] + rows[3] * rows[3]);
    return (sum[0] + sum[2]) + (sum[1] + sum[3]);
}

INLINE void gate_line(
    const float *tall, Py_ssize_t columns, int high, float floor, float *restrict gate
) {
    for (Py_ssize_t j = 0; j < columns; j++) {
        const int cells = high * (1 + (j > 0) + (j + 1 < columns));
        const float sum = (tall[j] + tall[j + 1]) + tall[j + 2];
        const float energy = sum / (float)(cells * CELL);
        const float whole = energy + floor;
        gate[j] = energy / (whole < 1e-30f ? 1e-30f : whole);
    }
}

INLINE void gates_all(
    const float *mask, Py_ssize_t rows, Py_ssize_t columns, float floor, float *energies,
    float *restrict tall, float *gate
) {
    for (Py_ssize_t at = 0; at < rows * columns; at++)
        energies[at] = energy_of(mask + at * CELL);
    tall[0] = tall[columns + 1] = 0;
    for (Py_ssize_t i = 0; i < rows; i++) {
        const float *one = energies + (i > 0 ? i - 1 : i) * columns;
        const float *last = energies + (i + 1 < rows ? i + 1 : i) * columns;
        memset(tall + 1, 0, columns * sizeof *tall);
        for (const float *line = one; line <= last; line += columns)
            for (Py_ssize_t j = 0; j < columns; j++)
                tall[j + 1] = tall[j + 1] + line[j];
        const int high = 1 + (i > 0) + (i + 1 < rows);
        gate_line(tall, columns, high, floor, gate + i * columns);
    }
}

/* Interpolation between the centres of cells: first down, for the four rows of a row of cells.
   Each row has a line for each channel, where LINE_EDGES more cells repeat the edges: one before
   and two behind. */
#define LINE_EDGES 3

INLINE void down(
    const float *cells, Py_ssize_t rows, Py_ssize_t columns, int channels, Py_ssize_t row,
    float *restrict lines
) {
    static const float before[SIDE] = {0.375f, 0.125f, 0.875f, 0.625f};
    const Py_ssize_t wide = columns * channels;
    for (int y = 0; y < SIDE; y++) {
        Py_ssize_t upper = row - (y < SIDE / 2), lower = upper + 1;
        const float weight = before[y], other = 1.0f - weight;
        const float *one = cells + (upper < 0 ? 0 : upper) * wide;
        const float *two = cells + (lower < rows ? lower : rows - 1) * wide;
        for (int c = 0; c < channels; c++) {
            float *restrict line = lines + (y * channels + c) * (columns + LINE_EDGES) + 1;
            for (Py_ssize_t x = 0; x < columns; x++)
                line[x] = one[x * channels + c] * weight + two[x * channels + c] * other;
            line[-1] = line[0];
            line[columns] = line[columns + 1] = line[columns - 1];
        }
    }
}

/* Then across, for the pixels of one cell. */
INLINE void across(
    const float *lines, Py_ssize_t columns, int channels, Py_ssize_t column, int c, float to[CELL]
) {
    const floats4 before = {0.375f, 0.125f, 0.875f, 0.625f}, after = {0.625f, 0.875f, 0.125f, 0.375f};
    for (int y = 0; y < SIDE; y++) {
        floats4 near; /* the cell before, this one, the next one */
        memcpy(&near, lines + (y * channels + c) * (columns + LINE_EDGES) + column, sizeof near);
        const floats4 made = SHUFFLED(ints4, near, 0, 0, 1, 1) * before +
                             SHUFFLED(ints4, near, 1, 1, 2, 2) * after;
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

INLINE int32_t total_of(const float made[CELL], float unit) {
    int32_t steps[CELL];
    for (int k = 0; k < CELL; k++)
        steps[k] = (int32_t)rounded(made[k] * unit);
    ints4 rows[SIDE];
    memcpy(rows, steps, sizeof rows);
    const ints4 sum = (rows[0] + rows[1]) + (rows[2] + rows[3]);
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

INLINE void sum_all(const Pixels *pixels, const Change *change, float *lines, int32_t *sums) {
    const float unit = (float)((1 << 20) / ((int)white_of(pixels) + 1));
    uint16_t q[BATCH][COLOURS][CELL];
    float made[BATCH][COLOURS][CELL], gate[BATCH][CELL];
    for (Py_ssize_t i = 0; i < pixels->rows; i++) {
        if (change->mask)
            down(change->gate, pixels->rows, pixels->columns, 1, i, lines);
        for (Py_ssize_t j = 0; j < pixels->columns; j += BATCH) {
            const Py_ssize_t cell = i * pixels->columns + j;
            const int count = at_most_batch(pixels->columns - j);
            for (int n = 0; n < count; n++) {
                load(pixels, i, j + n, q[n]);
                if (change->mask)
                    across(lines, pixels->columns, 1, j + n, 0, gate[n]);
            }
            for (int n = 0; n < count; n++)
                change_of(change, pixels, cell + n, gate[n], q[n], made[n]);
            for (int n = 0; n < count; n++)
                for (int c = 0; c < pixels->channels; c++)
                    sums[(cell + n) * pixels->channels + c] = total_of(made[n][c], unit);
        }
    }
}
