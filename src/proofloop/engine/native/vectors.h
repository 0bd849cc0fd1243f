/* What the kernels share: vectors of this processor, tiles of products, exponentials. */

#ifndef PROOFLOOP_VECTORS_H
#define PROOFLOOP_VECTORS_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#define LANES 16
#define ROWS 12 /* 12 x 2 sums, 2 weights, in 32 registers */
#elif defined(__AVX__)
#define LANES 8
#define ROWS 6
#else
#define LANES 4
#define ROWS 6
#endif
#define PANEL (2 * LANES) /* columns that are summed at once */
#define DEPTH 256         /* terms summed before the next rows: a panel of weights stays near */

typedef float vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t ivec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

static inline int padded(int n) { return (n + PANEL - 1) / PANEL * PANEL; }

/* y (rows, PANEL) = or += a (rows, depth) w (depth, PANEL). */
static inline __attribute__((always_inline)) void tile(
    int rows, const float *a, size_t row_stride, size_t term_stride, const float *w, int depth,
    float *y, size_t y_stride, int first) {
    vec sums[ROWS][2];
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < 2; j++)
            sums[r][j] = first ? (vec){0} : *(const vec *)(y + r * y_stride + j * LANES);
    for (int k = 0; k < depth; k++) {
        vec w0 = *(const vec *)(w + (size_t)k * PANEL);
        vec w1 = *(const vec *)(w + (size_t)k * PANEL + LANES);
        for (int r = 0; r < rows; r++) {
            float x = a[r * row_stride + k * term_stride];
            sums[r][0] += x * w0;
            sums[r][1] += x * w1;
        }
    }
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < 2; j++) *(vec *)(y + r * y_stride + j * LANES) = sums[r][j];
}

/* As `tile`, for any number of rows. */
static inline __attribute__((always_inline)) void tiles(
    int n, const float *a, size_t row_stride, size_t term_stride, const float *w, int depth,
    float *y, size_t y_stride, int first) {
    for (int r = 0; r < n; r += ROWS) {
        const float *from = a + r * row_stride;
        float *to = y + r * y_stride;
        switch (n - r < ROWS ? n - r : ROWS) {
#define CASE(m) \
    case m: tile(m, from, row_stride, term_stride, w, depth, to, y_stride, first); break;
            CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)
#if ROWS > 6
            CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12)
#endif
#undef CASE
        }
    }
}

/* Lane by lane; C has no choice between vectors. */
#define DEFINE_VECTOR(V, IV, larger, exponential)                                     \
    static inline V larger(V a, V b) {                                               \
        IV mask = a > b;                                                             \
        return (V)((mask & (IV)a) | (~mask & (IV)b));                                \
    }                                                                                \
    /* exp(x) for -87 <= x <= 88: 2^n p(r), degree 6 on |r| <= ln 2 / 2 (Cephes' expf), 1e-7 \
     * relative; below, about 1e-38 */                                               \
    static inline V exponential(V x) {                                               \
        x = larger(x, (V){0} - 87.0f);                                               \
        V n = x * 1.44269504f + 12582912.0f; /* the nearest whole number, in the low bits */ \
        IV whole = (IV)n;                                                            \
        n -= 12582912.0f;                                                            \
        V r = x - n * 0.693359375f + n * 2.12194440e-4f;                             \
        V p = 1.9875691500e-4f * r + 1.3981999507e-3f;                               \
        p = p * r + 8.3334519073e-3f;                                                \
        p = p * r + 4.1665795894e-2f;                                                \
        p = p * r + 1.6666665459e-1f;                                                \
        p = p * r + 5.0000001201e-1f;                                                \
        p = p * r * r + r + 1.0f;                                                    \
        return (V)((IV)p + (whole << 23));                                           \
    }
DEFINE_VECTOR(vec, ivec, vmax, vexp)

static inline float total(vec v) {
    float s = 0;
    for (int i = 0; i < LANES; i++) s += v[i];
    return s;
}

#endif
