/* Threads share one bundle and one gallery, and find the same: threads_test BUNDLE GALLERY QUERY */
#include <cfack.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { THREADS = 4, ROUNDS = 8, MOST = 64 };

static cfack_bundle *bundle;
static cfack_gallery *gallery;
static const char *query;
static uint64_t expected[MOST];
static size_t expected_count;

static int search(uint64_t *places, size_t *count) {
    cfack_results *results = NULL;
    size_t i;
    int status = cfack_search(&results, bundle, gallery, &query, 1, NULL);
    *count = cfack_results_hit_count(results, 0);
    for (i = 0; status == CFACK_OK && i < *count && i < MOST; ++i) {
        cfack_hit hit = CFACK_HIT_INIT;
        status = cfack_results_get_hit(&hit, results, 0, i);
        places[i] = hit.place;
    }
    cfack_results_free(results);
    return status;
}

static void *work(void *failures) {
    int round;
    for (round = 0; round < ROUNDS; ++round) {
        uint64_t places[MOST];
        size_t count = 0;
        const char *empty = "...";
        cfack_results *none = NULL;
        if (search(places, &count) != CFACK_OK || count != expected_count ||
            memcmp(places, expected, count * sizeof *places) != 0) {
            ++*(int *)failures;
        }
        /* The message of a failure is this thread's own. */
        if (cfack_search(&none, bundle, gallery, &empty, 1, NULL) != CFACK_ERROR_DATA ||
            strstr(cfack_last_error(), "query 0") == NULL) {
            ++*(int *)failures;
        }
    }
    return NULL;
}

int main(int argc, char **argv) {
    pthread_t threads[THREADS];
    int failures[THREADS] = {0}, i, total = 0;
    cfack_bundle_options options = CFACK_BUNDLE_OPTIONS_INIT;
    options.threads = 1;
    if (argc != 4) return 2;
    query = argv[3];
    if (cfack_bundle_open(&bundle, argv[1], &options) != CFACK_OK || cfack_gallery_open(&gallery, argv[2]) != CFACK_OK ||
        search(expected, &expected_count) != CFACK_OK) {
        fprintf(stderr, "%s\n", cfack_last_error());
        return 1;
    }
    for (i = 0; i < THREADS; ++i) pthread_create(&threads[i], NULL, work, &failures[i]);
    for (i = 0; i < THREADS; ++i) {
        pthread_join(threads[i], NULL);
        total += failures[i];
    }
    cfack_gallery_free(gallery);
    cfack_bundle_free(bundle);
    printf("%d failures, %u hits\n", total, (unsigned)expected_count);
    return total == 0 && expected_count != 0 ? 0 : 1;
}
