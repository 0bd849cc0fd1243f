/* What the kernels share: vectors of this processor, tiles of products, exponentials. */

#ifndef PROOFLOOP_VECTORS_H
#define PROOFLOOP_VECTORS_H

#include <math.h>
#include <stdint.h>
#include <string.h>
#if defined(__AVX__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

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
typedef int16_t halves __attribute__((vector_size(2 * LANES), aligned(2), may_alias));

static inline vec every(float x) { return x - (vec){0}; }

/* a * b + c, rounded once where the processor can.  Said here and nowhere left to the compiler
 * (-ffp-contract=off): which products it fuses depends on the code around them and on the processor,
 * so the same row had other bits in the loop for four rows than in the loop for one. */
static inline vec fused(vec a, vec b, vec c) {
#if defined(__AVX512F__)
    return (vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__AVX__) && defined(__FMA__)
    return (vec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__aarch64__)
    return (vec)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
    return a * b + c;
#endif
}

static inline int padded(int n) { return (n + PANEL - 1) / PANEL * PANEL; }

/* ---- bfloat16: two neighbours in a word, as memory has them ---- */

#define HIGH_HALF ((int32_t)0xffff0000)

static inline vec evens(ivec words) { return (vec)(words << 16); }
static inline vec odds(ivec words) { return (vec)(words & HIGH_HALF); }

/* Rounded to bfloat16, halves to even; what is not a number stays none. */
static inline vec rounded(vec x) {
    ivec bits = (ivec)x, fine = x == x;
    ivec to = (bits + 0x7fff + ((bits >> 16) & 1)) & HIGH_HALF;
    return (vec)((fine & to) | (~fine & 0x7fc00000));
}

static inline ivec words_of(vec evens, vec odds) {
    return (ivec)rounded(odds) | (((ivec)rounded(evens) >> 16) & 0xffff);
}

static inline int16_t rounded_half(float x) {
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return x == x ? (bits + 0x7fff + ((bits >> 16) & 1)) >> 16 : 0x7fc0;
}

static inline halves halves_of(vec x) {
    return __builtin_convertvector((ivec)rounded(x) >> 16, halves);
}

/* n floats to n / 2 words; `to` may be `x`. */
static inline void narrow(const float *x, int n, void *to) {
    int i = 0;
    for (; i + LANES <= n; i += LANES)
        *(halves *)((char *)to + 2 * i) = halves_of(*(const vec *)(x + i));
    for (; i < n; i++) {
        int16_t half = rounded_half(x[i]);
        memcpy((char *)to + 2 * i, &half, sizeof half);
    }
}

/* The i-th of floats or (`paired`) of words. */
static inline float number(int paired, const float *x, int i) {
    if (!paired) return x[i];
    int32_t bits = 0;
    memcpy((char *)&bits + 2, (const char *)x + 2 * i, 2);
    float found;
    memcpy(&found, &bits, sizeof found);
    return found;
}

/* c + a b of both halves of each word. */
static inline vec dot(ivec a, ivec b, vec c) {
#if defined(__AVX512BF16__)
    return (vec)_mm512_dpbf16_ps((__m512)c, (__m512bh)a, (__m512bh)b);
#elif defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
    return (vec)vbfdotq_f32((float32x4_t)c, (bfloat16x8_t)a, (bfloat16x8_t)b);
#else
    return fused(evens(a), evens(b), fused(odds(a), odds(b), c));
#endif
}

/* c + x[0] w, of floats or (`paired`) of words. */
static inline __attribute__((always_inline)) vec term(int paired, const float *x, vec w, vec c) {
    return paired ? dot(*(const int32_t *)x - (ivec){0}, (ivec)w, c) : fused(every(*x), w, c);
}

/* ---- products ---- */

/* y (rows, PANEL) = or += a (rows, depth) w (depth, PANEL). */
static inline __attribute__((always_inline)) void tile(
    int paired, int rows, const float *a, size_t row_stride, size_t term_stride, const float *w,
    int depth, float *y, size_t y_stride, int first) {
    vec sums[ROWS][2];
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < 2; j++)
            sums[r][j] = first ? (vec){0} : *(const vec *)(y + r * y_stride + j * LANES);
    for (int k = 0; k < depth; k++) {
        vec w0 = *(const vec *)(w + (size_t)k * PANEL);
        vec w1 = *(const vec *)(w + (size_t)k * PANEL + LANES);
        for (int r = 0; r < rows; r++) {
            const float *x = a + r * row_stride + k * term_stride;
            sums[r][0] = term(paired, x, w0, sums[r][0]);
            sums[r][1] = term(paired, x, w1, sums[r][1]);
        }
    }
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < 2; j++) *(vec *)(y + r * y_stride + j * LANES) = sums[r][j];
}

/* As `tile`, for any number of rows. */
static inline __attribute__((always_inline)) void tiles(
    int paired, int n, const float *a, size_t row_stride, size_t term_stride, const float *w,
    int depth, float *y, size_t y_stride, int first) {
    for (int r = 0; r < n; r += ROWS) {
        const float *from = a + r * row_stride;
        float *to = y + r * y_stride;
        switch (n - r < ROWS ? n - r : ROWS) {
#define CASE(m) \
    case m: \
        tile(paired, m, from, row_stride, term_stride, w, depth, to, y_stride, first); \
        break;
            CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)
#if ROWS > 6
            CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12)
#endif
#undef CASE
        }
    }
}

/* Lane by lane; C has no choice between vectors. */
static inline vec vmax(vec a, vec b) {
    ivec mask = a > b;
    return (vec)((mask & (ivec)a) | (~mask & (ivec)b));
}

/* exp(x) for x <= 88: 2^n p(r), degree 6 on |r| <= ln 2 / 2 (Cephes' expf), 1e-7 relative; below
 * -87, about 1e-38 */
static inline vec vexp(vec x) {
    x = vmax(x, every(-87.0f));
    vec n = fused(x, every(1.44269504f), every(12582912.0f)); /* whole, in the low bits */
    ivec whole = (ivec)n;
    n -= 12582912.0f;
    vec r = fused(n, every(2.12194440e-4f), fused(n, every(-0.693359375f), x));
    vec p = fused(every(1.9875691500e-4f), r, every(1.3981999507e-3f));
    p = fused(p, r, every(8.3334519073e-3f));
    p = fused(p, r, every(4.1665795894e-2f));
    p = fused(p, r, every(1.6666665459e-1f));
    p = fused(p, r, every(5.0000001201e-1f));
    p = fused(p * r, r, r) + 1.0f;
    return (vec)((ivec)p + (whole << 23));
}

static inline float total(vec v) {
    float s = 0;
    for (int i = 0; i < LANES; i++) s += v[i];
    return s;
}

static inline float highest(vec v) {
    float top = v[0];
    for (int i = 1; i < LANES; i++) top = v[i] > top ? v[i] : top;
    return top;
}

#endif
