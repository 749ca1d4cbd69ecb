/* What a search allocates besides its result: allocations_test BUNDLE GALLERY QUERY. Every allocation of this thread is
 * looked at: it is ours if, of libcfack and ONNX Runtime, libcfack is the nearer one on the stack. */
#define _GNU_SOURCE
#include <cfack.h>
#include <dlfcn.h>
#include <execinfo.h>
#include <stdio.h>
#include <string.h>

enum { ROUNDS = 3, DEEPEST = 64, RESULT = 3 /* the handle, the list of answers, the list of hits */ };

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

static __thread int counting;
static int ours, others;

static void count(void) {
    void *frames[DEEPEST];
    int depth, i;
    if (!counting) return;
    counting = 0; /* what follows may allocate */
    depth = backtrace(frames, DEEPEST);
    for (i = 0; i < depth; ++i) {
        Dl_info info;
        if (!dladdr(frames[i], &info) || info.dli_fname == NULL) continue;
        if (strstr(info.dli_fname, "libonnxruntime") != NULL) break;
        if (strstr(info.dli_fname, "libcfack") != NULL) {
            ++ours;
            counting = 1;
            return;
        }
    }
    ++others;
    counting = 1;
}

void *malloc(size_t size) {
    count();
    return __libc_malloc(size);
}

void *calloc(size_t number, size_t size) {
    count();
    return __libc_calloc(number, size);
}

void *realloc(void *memory, size_t size) {
    count();
    return __libc_realloc(memory, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    count();
    return __libc_memalign(alignment, size);
}

int main(int argc, char **argv) {
    cfack_bundle *bundle = NULL;
    cfack_gallery *gallery = NULL;
    cfack_bundle_options options = CFACK_BUNDLE_OPTIONS_INIT;
    int failures = 0, round;
    if (argc != 4) return 2;
    options.threads = 1;
    if (cfack_bundle_open(&bundle, argv[1], &options) != CFACK_OK || cfack_gallery_open(&gallery, argv[2]) != CFACK_OK) {
        fprintf(stderr, "%s\n", cfack_last_error());
        return 1;
    }
    counting = 1;
    count(); /* the first backtrace loads a library */
    counting = 0;
    for (round = 0; round < ROUNDS; ++round) {
        const char *query = argv[3];
        cfack_results *results = NULL;
        int status;
        ours = others = 0;
        counting = 1;
        status = cfack_search(&results, bundle, gallery, &query, 1, NULL);
        counting = 0;
        printf("round %d: %d of libcfack, %d of ONNX Runtime\n", round, ours, others);
        /* The first search makes room, and others keep it. That ONNX Runtime allocates shows that counting works. */
        if (status != CFACK_OK || others == 0 || (round > 0 ? ours != RESULT : ours <= RESULT)) ++failures;
        cfack_results_free(results);
    }
    cfack_gallery_free(gallery);
    cfack_bundle_free(bundle);
    return failures != 0;
}
