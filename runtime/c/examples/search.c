/* Index a folder and search it: cfack_search BUNDLE PHOTOS GALLERY QUERY...
 * Prints what `cfack search GALLERY QUERY...` prints. */
#include <cfack.h>
#include <stdio.h>

static int failed(const char *what) {
    fprintf(stderr, "%s: %s: %s\n", what, cfack_status_name(cfack_last_error_code()), cfack_last_error());
    return 1;
}

static void print_answer(const cfack_results *results, size_t query, const char *text) {
    size_t i, count = cfack_results_hit_count(results, query);
    printf("%s\n%s\n", text, count == 0 ? "  the gallery is empty" : "rank   score   match  path");
    for (i = 0; i < count; ++i) {
        cfack_hit hit = CFACK_HIT_INIT;
        char match[16] = "-";
        cfack_results_get_hit(&hit, results, query, i);
        if (hit.reranked) snprintf(match, sizeof match, "%.3f", hit.match_score);
        printf("%4u  %6.3f  %6s  %s\n", (unsigned)hit.rank, hit.score, match, hit.path);
    }
    printf("\n");
}

int main(int argc, char **argv) {
    cfack_bundle *bundle = NULL;
    cfack_gallery *gallery = NULL;
    cfack_results *results = NULL;
    cfack_gallery_info info = CFACK_GALLERY_INFO_INIT;
    int i, status = 1;
    if (argc < 5) {
        fprintf(stderr, "usage: %s BUNDLE PHOTOS GALLERY QUERY...\n", argv[0]);
        return 2;
    }
    if (cfack_bundle_open(&bundle, argv[1], NULL) != CFACK_OK) {
        failed("cannot open the bundle");
    } else if (cfack_index_folder(NULL, bundle, argv[2], argv[3], NULL) != CFACK_OK) {
        failed("cannot index the photos");
    } else if (cfack_gallery_open(&gallery, argv[3]) != CFACK_OK ||
               cfack_gallery_get_info(&info, gallery) != CFACK_OK) {
        failed("cannot open the gallery");
    } else if (cfack_search(&results, bundle, gallery, (const char *const *)(argv + 4), (size_t)(argc - 4), NULL) !=
               CFACK_OK) {
        failed("cannot search");
    } else {
        for (i = 4; i < argc; ++i) print_answer(results, (size_t)(i - 4), argv[i]);
        printf("images in %s\n", info.root);
        status = 0;
    }
    cfack_results_free(results);
    cfack_gallery_free(gallery);
    cfack_bundle_free(bundle);
    return status;
}
