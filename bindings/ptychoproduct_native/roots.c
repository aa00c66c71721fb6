#include "roots.h"
#include "vectors.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

/* A product with more digits than its type, or one joined with a sum, would give other bits on another machine. */
#if defined(__FAST_MATH__) || (defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD != 0)
#error "roots.c needs arithmetic as IEEE 754 has it: no -ffast-math, and -mfpmath=sse on 32-bit x86"
#endif
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(_MSC_VER)
#pragma fp_contract(off)
#endif

/* Elements at a time: their intermediate results stay in the first-level cache. */
enum { TILE = 512 };

/* Up to here a float holds every whole number. */
static const float MOST_SINGLE = 16777216.0f;
static const double MOST_COUNT = 4294967295.0;
/* Counts around the nearest one that are tried too, because rounding may have missed the right one. */
enum { REACH = 16 };

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

static uint32_t bits_of_single(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static uint64_t bits_of_double(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/*
 * Whether float is precise enough for the whole recipe, with counts up to 2^24: a root in double that is rounded to float is the
 * root in float, because double has more than 2 * 24 + 2 digits (S. A. Figueroa, ACM SIGNUM 30 (3), 21, 1995).
 */
static bool is_single(const pp_recipe *recipe, pp_precision precision)
{
    return precision == PP_SINGLE && (recipe->scaling == PP_NO_SCALING || recipe->scaling_precision == PP_SINGLE);
}

/* With constant arguments the compiler drops the branches and turns the loops into vectors. */
static inline float single_step(float count, pp_root root, pp_scaling scaling, float scale)
{
    float x = root == PP_ROOT ? sqrtf(count) : count;
    if (scaling == PP_DIVIDE) {
        x = x / scale;
    } else if (scaling == PP_MULTIPLY) {
        x = x * scale;
    }
    return x;
}

static inline bool single_counts(const float *amplitudes, size_t n, uint32_t *counts, uint32_t *largest, pp_root root,
                                 pp_scaling scaling, float scale)
{
    const float unscale = scaling == PP_DIVIDE ? scale : 1.0f / scale;
    uint32_t different = 0;
    int32_t most = 0;
    for (size_t i = 0; i < n; i++) {
        const float a = amplitudes[i];
        float y = scaling == PP_NO_SCALING ? a : a * unscale;
        y = root == PP_ROOT ? y * y : y;
        y = a >= 0.0f && y < MOST_SINGLE ? y : 0.0f; /* NaN becomes 0, and differs */
        const int32_t count = (int32_t)(y + 0.5f);
        most = most > count ? most : count;
        counts[i] = (uint32_t)count;
        different |= bits_of_single(a) ^ bits_of_single(single_step((float)count, root, scaling, scale));
    }
    *largest = (uint32_t)most;
    return different == 0;
}

static inline void single_amplitudes(const uint32_t *counts, size_t n, float *amplitudes, pp_root root,
                                     pp_scaling scaling, float scale)
{
    for (size_t i = 0; i < n; i++) {
        amplitudes[i] = single_step((float)(int32_t)counts[i], root, scaling, scale);
    }
}

#define WITH_CONSTANT_STEPS(DO, ROOT, SCALING)                                                              \
    if ((SCALING) == PP_DIVIDE) {                                                                           \
        WITH_CONSTANT_ROOT(DO, ROOT, PP_DIVIDE)                                                             \
    } else if ((SCALING) == PP_MULTIPLY) {                                                                  \
        WITH_CONSTANT_ROOT(DO, ROOT, PP_MULTIPLY)                                                           \
    } else {                                                                                                \
        WITH_CONSTANT_ROOT(DO, ROOT, PP_NO_SCALING)                                                         \
    }
#define WITH_CONSTANT_ROOT(DO, ROOT, SCALING)                                                               \
    if ((ROOT) == PP_ROOT) {                                                                                \
        DO(PP_ROOT, SCALING);                                                                               \
    } else {                                                                                                \
        DO(PP_NO_ROOT, SCALING);                                                                            \
    }

/* Find the counts of a tile in float; false where that fails: double may still find them. */
static bool tile_counts_single(const float *amplitudes, size_t n, const pp_recipe *recipe, uint32_t *counts,
                               uint32_t *largest)
{
    const float scale = (float)recipe->scale;
    bool is_exact;
#define DO_COUNTS(ROOT, SCALING) is_exact = single_counts(amplitudes, n, counts, largest, ROOT, SCALING, scale)
    WITH_CONSTANT_STEPS(DO_COUNTS, recipe->root, recipe->scaling)
#undef DO_COUNTS
    return is_exact;
}

static void tile_amplitudes_single(const uint32_t *counts, size_t n, const pp_recipe *recipe, float *amplitudes)
{
    const float scale = (float)recipe->scale;
#define DO_AMPLITUDES(ROOT, SCALING) single_amplitudes(counts, n, amplitudes, ROOT, SCALING, scale)
    WITH_CONSTANT_STEPS(DO_AMPLITUDES, recipe->root, recipe->scaling)
#undef DO_AMPLITUDES
}

/* Turn counts into amplitudes as the recipe says, all but the last rounding; floats are held in doubles. */
static void follow(double *x, size_t n, const pp_recipe *recipe)
{
    const double scale = recipe->scale;
    const float single_scale = (float)recipe->scale;
    if (recipe->root == PP_ROOT && recipe->root_precision == PP_SINGLE) {
        for (size_t i = 0; i < n; i++) {
            x[i] = sqrtf((float)x[i]);
        }
    } else if (recipe->root == PP_ROOT) {
        for (size_t i = 0; i < n; i++) {
            x[i] = sqrt(x[i]);
        }
    }
    if (recipe->scaling == PP_DIVIDE && recipe->scaling_precision == PP_SINGLE) {
        for (size_t i = 0; i < n; i++) {
            x[i] = (float)x[i] / single_scale;
        }
    } else if (recipe->scaling == PP_DIVIDE) {
        for (size_t i = 0; i < n; i++) {
            x[i] = x[i] / scale;
        }
    } else if (recipe->scaling == PP_MULTIPLY && recipe->scaling_precision == PP_SINGLE) {
        for (size_t i = 0; i < n; i++) {
            x[i] = (float)x[i] * single_scale;
        }
    } else if (recipe->scaling == PP_MULTIPLY) {
        for (size_t i = 0; i < n; i++) {
            x[i] = x[i] * scale;
        }
    }
}

static double unscaling(const pp_recipe *recipe)
{
    const double scale = recipe->scaling_precision == PP_SINGLE ? (float)recipe->scale : recipe->scale;
    switch (recipe->scaling) {
    case PP_DIVIDE:
        return scale;
    case PP_MULTIPLY:
        return 1.0 / scale;
    default:
        return 1.0;
    }
}

static const double TO_WHOLE = 4503599627370496.0; /* 2^52: a sum with it has no fraction */

/* The count nearest to the one that gives an amplitude; any number for NaN, which then differs. */
static void nearest_counts(const double *a, double *counts, size_t n, const pp_recipe *recipe)
{
    const double unscale = unscaling(recipe);
    if (recipe->root == PP_ROOT) {
        for (size_t i = 0; i < n; i++) {
            const double y = a[i] * unscale * (a[i] * unscale);
            const double within = y < MOST_COUNT ? y : MOST_COUNT;
            counts[i] = ((a[i] >= 0.0 ? within : 0.0) + TO_WHOLE) - TO_WHOLE;
        }
    } else {
        for (size_t i = 0; i < n; i++) {
            const double y = a[i] * unscale;
            const double within = y < MOST_COUNT ? y : MOST_COUNT;
            counts[i] = ((a[i] >= 0.0 ? within : 0.0) + TO_WHOLE) - TO_WHOLE;
        }
    }
}

static bool is_same(double x, double amplitude, pp_precision precision)
{
    if (precision == PP_SINGLE) {
        return bits_of_single((float)x) == bits_of_single((float)amplitude);
    }
    return bits_of_double(x) == bits_of_double(amplitude);
}

static bool are_same(const double *x, const double *amplitudes, size_t n, pp_precision precision)
{
    if (precision == PP_SINGLE) {
        uint32_t different = 0;
        for (size_t i = 0; i < n; i++) {
            different |= bits_of_single((float)x[i]) ^ bits_of_single((float)amplitudes[i]);
        }
        return different == 0;
    }
    return memcmp(x, amplitudes, n * sizeof x[0]) == 0;
}

/* Look around the nearest count for one that gives back the amplitude. */
static bool found_near(double *count, double amplitude, const pp_recipe *recipe, pp_precision precision)
{
    for (int distance = 1; distance <= REACH; distance++) {
        for (int sign = -1; sign <= 1; sign += 2) {
            const double candidate = *count + sign * distance;
            double x = candidate;
            if (candidate < 0.0 || candidate > MOST_COUNT) {
                continue;
            }
            follow(&x, 1, recipe);
            if (is_same(x, amplitude, precision)) {
                *count = candidate;
                return true;
            }
        }
    }
    return false;
}

/* Find the counts of a tile in double. Returns the index of the first that fails, or n. */
static size_t tile_counts_double(const double *amplitudes, pp_precision precision, size_t n, const pp_recipe *recipe,
                                 uint32_t *counts, uint32_t *largest)
{
    double nearest[TILE], x[TILE];
    uint32_t most = 0;
    nearest_counts(amplitudes, nearest, n, recipe);
    memcpy(x, nearest, n * sizeof x[0]);
    follow(x, n, recipe);
    if (!are_same(x, amplitudes, n, precision)) {
        for (size_t i = 0; i < n; i++) {
            if (!is_same(x[i], amplitudes[i], precision) &&
                !found_near(&nearest[i], amplitudes[i], recipe, precision)) {
                return i;
            }
        }
    }
    for (size_t i = 0; i < n; i++) {
        counts[i] = (uint32_t)bits_of_double(nearest[i] + TO_WHOLE); /* its last bits */
        most = most > counts[i] ? most : counts[i];
    }
    *largest = most;
    return n;
}

static size_t tile_counts(const void *amplitudes, pp_precision precision, size_t n, const pp_recipe *recipe,
                          uint32_t *counts, uint32_t *largest)
{
    double wide[TILE];
    if (is_single(recipe, precision) && tile_counts_single(amplitudes, n, recipe, counts, largest)) {
        return n;
    }
    if (precision == PP_SINGLE) {
        const float *narrow = amplitudes;
        for (size_t i = 0; i < n; i++) {
            wide[i] = narrow[i];
        }
    } else {
        memcpy(wide, amplitudes, n * sizeof wide[0]);
    }
    return tile_counts_double(wide, precision, n, recipe, counts, largest);
}

#define NARROW(TYPE)                                                                                        \
    for (size_t i = 0; i < n; i++) {                                                                        \
        ((TYPE *)to)[i] = (TYPE)counts[i];                                                                  \
    }

static void store_counts(const uint32_t *counts, size_t n, void *to, size_t count_size)
{
    if (count_size == 1) {
        NARROW(uint8_t)
    } else if (count_size == 2) {
        NARROW(uint16_t)
    } else {
        NARROW(uint32_t)
    }
}

#define WIDEN(TYPE)                                                                                         \
    for (size_t i = 0; i < n; i++) {                                                                        \
        counts[i] = ((const TYPE *)from)[i];                                                                \
    }

static void load_counts(const void *from, size_t count_size, size_t n, uint32_t *counts)
{
    if (count_size == 1) {
        WIDEN(uint8_t)
    } else if (count_size == 2) {
        WIDEN(uint16_t)
    } else {
        WIDEN(uint32_t)
    }
}

size_t pp_counts_of(const void *amplitudes, pp_precision precision, size_t n, const pp_recipe *recipe, void *counts,
                    size_t count_size, uint32_t *largest)
{
    const size_t amplitude_size = precision == PP_SINGLE ? sizeof(float) : sizeof(double);
    uint32_t tile[TILE], most = 0;
    pp_clear_vectors();
    for (size_t start = 0; start < n; start += TILE) {
        const size_t length = smaller(TILE, n - start);
        const unsigned char *from = (const unsigned char *)amplitudes + start * amplitude_size;
        uint32_t largest_of_tile = 0;
        const size_t exact = tile_counts(from, precision, length, recipe, tile, &largest_of_tile);
        if (exact < length) {
            return start + exact;
        }
        most = most > largest_of_tile ? most : largest_of_tile;
        if (counts) {
            store_counts(tile, length, (unsigned char *)counts + start * count_size, count_size);
        }
    }
    *largest = most;
    return n;
}

void pp_amplitudes_of(const void *counts, size_t count_size, size_t n, const pp_recipe *recipe, void *amplitudes,
                      pp_precision precision)
{
    uint32_t tile[TILE];
    double x[TILE];
    pp_clear_vectors();
    for (size_t start = 0; start < n; start += TILE) {
        const size_t length = smaller(TILE, n - start);
        uint32_t most = 0;
        load_counts((const unsigned char *)counts + start * count_size, count_size, length, tile);
        for (size_t i = 0; i < length; i++) {
            most = most > tile[i] ? most : tile[i];
        }
        if (is_single(recipe, precision) && most <= (uint32_t)MOST_SINGLE) {
            tile_amplitudes_single(tile, length, recipe, (float *)amplitudes + start);
            continue;
        }
        for (size_t i = 0; i < length; i++) {
            x[i] = tile[i];
        }
        follow(x, length, recipe);
        if (precision == PP_DOUBLE) {
            memcpy((double *)amplitudes + start, x, length * sizeof x[0]);
            continue;
        }
        for (size_t i = 0; i < length; i++) {
            ((float *)amplitudes)[start + i] = (float)x[i];
        }
    }
}
