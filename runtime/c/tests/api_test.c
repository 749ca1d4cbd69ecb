/* Every function and every error code: api_test BUNDLE PHOTOS WORK [OTHER_BUNDLE]. PHOTOS holds PNG files. */
#include <cfack.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures;

#define EXPECT(condition)                                                                       \
    do {                                                                                        \
        if (!(condition)) {                                                                     \
            ++failures;                                                                         \
            fprintf(stderr, "line %d: %s (%s)\n", __LINE__, #condition, cfack_last_error());    \
        }                                                                                       \
    } while (0)

/* A failure sets code and message. */
#define REFUSED(call, code) EXPECT((call) == (code) && cfack_last_error_code() == (code) && *cfack_last_error())

static int stop(uint64_t done, uint64_t total, void *payload) {
    (void)done, (void)total, (void)payload;
    return 1;
}

static int free_bundle(uint64_t done, uint64_t total, void *bundle) {
    (void)done, (void)total;
    cfack_bundle_free(*(cfack_bundle **)bundle);
    *(cfack_bundle **)bundle = NULL;
    return 0;
}

static void count_skipped(const char *path, const char *reason, void *payload) {
    EXPECT(*path && *reason);
    ++*(int *)payload;
}

static void test_version(void) {
    int major = -1, minor = -1, patch = -1, code;
    cfack_version_numbers(&major, &minor, &patch);
    cfack_version_numbers(NULL, NULL, NULL);
    EXPECT(major == CFACK_VERSION_MAJOR && minor == CFACK_VERSION_MINOR && patch == CFACK_VERSION_PATCH);
    EXPECT(strcmp(cfack_version(), "0.1.0") == 0 && cfack_abi_version() == CFACK_ABI_VERSION);
    EXPECT(cfack_last_error_code() == CFACK_OK && *cfack_last_error() == '\0');
    for (code = CFACK_OK; code >= CFACK_ERROR_INTERNAL; --code) {
        EXPECT(strncmp(cfack_status_name(code), "CFACK_", 6) == 0);
    }
    EXPECT(strcmp(cfack_status_name(1), "unknown") == 0);
}

static void test_options(void) {
    cfack_bundle_options bundle;
    cfack_writer_options writer;
    cfack_index_options index;
    cfack_search_options search;
    EXPECT(cfack_bundle_options_init(&bundle) == CFACK_OK && bundle.size == sizeof bundle);
    EXPECT(cfack_writer_options_init(&writer) == CFACK_OK && writer.tokens == 1);
    EXPECT(cfack_index_options_init(&index) == CFACK_OK && index.batch_size == 8);
    EXPECT(cfack_search_options_init(&search) == CFACK_OK && search.k == 10);
    REFUSED(cfack_bundle_options_init(NULL), CFACK_ERROR_INVALID);
    REFUSED(cfack_writer_options_init(NULL), CFACK_ERROR_INVALID);
    REFUSED(cfack_index_options_init(NULL), CFACK_ERROR_INVALID);
    REFUSED(cfack_search_options_init(NULL), CFACK_ERROR_INVALID);
}

static void test_bundle_refusals(const char *path, const char *photo) {
    cfack_bundle *none = NULL;
    int backend, status;
    struct {
        cfack_bundle_options known;
        int unknown;
    } longer = {CFACK_BUNDLE_OPTIONS_INIT, 1};
    cfack_bundle_options options = CFACK_BUNDLE_OPTIONS_INIT;
    REFUSED(cfack_bundle_open(NULL, path, NULL), CFACK_ERROR_INVALID);
    REFUSED(cfack_bundle_open(&none, NULL, NULL), CFACK_ERROR_INVALID);
    REFUSED(cfack_bundle_open(&none, "/nothing/here", NULL), CFACK_ERROR_BUNDLE);
    EXPECT(none == NULL);
    options.size = 4;
    REFUSED(cfack_bundle_open(&none, path, &options), CFACK_ERROR_INVALID);
    longer.known.size = sizeof longer;
    REFUSED(cfack_bundle_open(&none, path, &longer.known), CFACK_ERROR_INVALID);
    options.size = sizeof options;
    options.backend = 17;
    REFUSED(cfack_bundle_open(&none, path, &options), CFACK_ERROR_INVALID);
    for (backend = CFACK_BACKEND_CUDA; backend <= CFACK_BACKEND_TENSORRT_RTX_ENGINES; ++backend) {
        options.backend = backend; /* which of them are there is the machine's business */
        status = cfack_bundle_open(&none, path, &options);
        EXPECT(status == CFACK_OK || (status == CFACK_ERROR_BACKEND && none == NULL && *cfack_last_error()));
        cfack_bundle_free(none);
    }
    EXPECT(cfack_has_engines(CFACK_BACKEND_CPU) == 0 && cfack_has_engines(99) == 0);
    options.backend = CFACK_BACKEND_CPU;
    options.reserved = 1;
    REFUSED(cfack_bundle_open(&none, path, &options), CFACK_ERROR_INVALID);
    options.reserved = 0;
    options.precision = "int3";
    REFUSED(cfack_bundle_open(&none, path, &options), CFACK_ERROR_BUNDLE);
    options.precision = NULL;
    options.onnxruntime = "/nothing/libonnxruntime.so";
    REFUSED(cfack_bundle_open(&none, path, &options), CFACK_ERROR_BACKEND);
    options.onnxruntime = photo; /* is no library */
    REFUSED(cfack_bundle_open(&none, path, &options), CFACK_ERROR_BACKEND);
    EXPECT(strstr(cfack_last_error(), "cannot be loaded") != NULL);
    options.onnxruntime = "libm.so.6"; /* is another one */
    REFUSED(cfack_bundle_open(&none, path, &options), CFACK_ERROR_BACKEND);
    EXPECT(strstr(cfack_last_error(), "is no ONNX Runtime") != NULL);
    options.onnxruntime = NULL;
    options.memory_limit = 1000;
    REFUSED(cfack_bundle_open(&none, path, &options), CFACK_ERROR_MEMORY);
}

static void test_texts(const cfack_bundle *bundle, size_t dim) {
    const char *texts[] = {"a person in a red coat", "a person in blue"};
    const char *bad[] = {"a person", "..."};
    const char *null[] = {NULL};
    float *rows = malloc(2 * dim * sizeof *rows);
    int64_t ids[64];
    size_t count = 64;
    double length = 0;
    size_t i;
    EXPECT(cfack_encode_texts(rows, bundle, texts, 2) == CFACK_OK);
    for (i = 0; i < dim; ++i) length += (double)rows[i] * rows[i];
    EXPECT(fabs(length - 1) < 1e-5);
    EXPECT(cfack_encode_texts(NULL, bundle, NULL, 0) == CFACK_OK);
    REFUSED(cfack_encode_texts(rows, bundle, bad, 2), CFACK_ERROR_DATA);
    EXPECT(strstr(cfack_last_error(), "caption 1") != NULL);
    REFUSED(cfack_encode_texts(rows, bundle, null, 1), CFACK_ERROR_INVALID);
    REFUSED(cfack_encode_texts(rows, NULL, texts, 1), CFACK_ERROR_INVALID);
    EXPECT(cfack_tokenize(ids, &count, bundle, "a person") == CFACK_OK && count == 4);
    count = 1;
    REFUSED(cfack_tokenize(ids, &count, bundle, "a person"), CFACK_ERROR_INVALID);
    EXPECT(count == 4);
    REFUSED(cfack_tokenize(ids, &count, bundle, "\xff"), CFACK_ERROR_DATA);
    free(rows);
}

static void test_images(const cfack_bundle *bundle, const cfack_bundle_info *info, const char *photo) {
    static const uint8_t grey[3 * 4 * 5] = {7};
    cfack_images *images = NULL;
    const uint8_t *pixels = NULL;
    float *rows = malloc(2 * info->embed_dim * sizeof *rows), logits[4];
    FILE *file = fopen(photo, "rb");
    static char data[1 << 20];
    double shown = -1;
    size_t size = file == NULL ? 0 : fread(data, 1, sizeof data, file);
    if (file != NULL) fclose(file);
    REFUSED(cfack_images_new(&images, NULL), CFACK_ERROR_INVALID);
    EXPECT(cfack_images_new(&images, bundle) == CFACK_OK && cfack_images_count(images) == 0);
    REFUSED(cfack_images_add_file(images, "/nothing.png"), CFACK_ERROR_IMAGE);
    REFUSED(cfack_images_add_encoded(images, "no image", 8), CFACK_ERROR_IMAGE);
    REFUSED(cfack_images_add_rgb(images, grey, 4, 5, 11), CFACK_ERROR_INVALID);
    REFUSED(cfack_images_add_rgb(images, grey, 0, 5, 12), CFACK_ERROR_INVALID);
    REFUSED(cfack_images_get_pixels(&pixels, images, 0), CFACK_ERROR_INVALID);
    EXPECT(cfack_images_add_rgb(images, grey, 4, 5, 12) == CFACK_OK);
    cfack_images_clear(images);
    EXPECT(cfack_images_count(images) == 0);
    EXPECT(cfack_images_add_file(images, photo) == CFACK_OK);
    EXPECT(cfack_images_add_encoded(images, data, size) == CFACK_OK && cfack_images_count(images) == 2);
    EXPECT(cfack_images_get_pixels(&pixels, images, 1) == CFACK_OK && pixels != NULL);
    EXPECT(cfack_encode_images(rows, bundle, images) == CFACK_OK);
    EXPECT(fabs(rows[0] - rows[info->embed_dim]) < 1e-6);
    EXPECT(cfack_match_images(logits, bundle, "a person in red", images) == CFACK_OK);
    EXPECT(fabs(logits[1] - logits[3]) < 1e-5);
    REFUSED(cfack_match_images(logits, bundle, "!", images), CFACK_ERROR_DATA);
    EXPECT(cfack_match_score(&shown, bundle, CFACK_SCORE_LOG_ODDS, logits, 0.5f) == CFACK_OK);
    EXPECT(fabs(shown - ((double)logits[1] - logits[0])) < 1e-12);
    EXPECT(cfack_match_score(&shown, bundle, CFACK_SCORE_LOGIT, logits, 0.5f) == CFACK_OK && shown > 0 && shown < 1);
    REFUSED(cfack_match_score(&shown, bundle, 3, logits, 0.5f), CFACK_ERROR_INVALID);
    if (info->has_score_calibration) {
        EXPECT(cfack_match_score(&shown, bundle, CFACK_SCORE_PROBABILITY, logits, 0.5f) == CFACK_OK);
    } else {
        REFUSED(cfack_match_score(&shown, bundle, CFACK_SCORE_PROBABILITY, logits, 0.5f), CFACK_ERROR_INVALID);
    }
    REFUSED(cfack_encode_images(NULL, bundle, images), CFACK_ERROR_INVALID);
    cfack_images_free(images);
    cfack_images_free(NULL);
    cfack_images_clear(NULL);
    EXPECT(cfack_images_count(NULL) == 0);
    free(rows);
}

static void test_writer(const cfack_bundle *bundle, const char *photo, const char *path) {
    cfack_writer *writer = NULL, *second = NULL;
    cfack_images *images = NULL;
    cfack_gallery *gallery = NULL;
    cfack_gallery_image record = CFACK_GALLERY_IMAGE_INIT, found = CFACK_GALLERY_IMAGE_INIT;
    const cfack_gallery_image *records[] = {&record, &record};
    const char *paths[] = {"a.png", "unknown"};
    cfack_writer_options options = CFACK_WRITER_OPTIONS_INIT;
    float *row = malloc(sizeof(float) * 4096);
    uint64_t place = 9;
    EXPECT(cfack_images_new(&images, bundle) == CFACK_OK && cfack_images_add_file(images, photo) == CFACK_OK);
    EXPECT(cfack_writer_open(&writer, path, bundle, NULL) == CFACK_OK);
    REFUSED(cfack_writer_open(&second, path, bundle, NULL), CFACK_ERROR_GALLERY);
    REFUSED(cfack_writer_add(writer, images, records), CFACK_ERROR_INVALID);
    record.path = "../a.png";
    REFUSED(cfack_writer_add(writer, images, records), CFACK_ERROR_INVALID);
    record.path = "a.png";
    record.metadata_json = "{\"camera\": [1]}";
    REFUSED(cfack_writer_add(writer, images, records), CFACK_ERROR_INVALID);
    record.metadata_json = "{\"path\": 1}";
    REFUSED(cfack_writer_add(writer, images, records), CFACK_ERROR_INVALID);
    record.metadata_json = "{\"camera\":\"east\",\"lane\":2}";
    record.file_size = 12;
    record.mtime_ns = -5;
    EXPECT(cfack_writer_add(writer, images, records) == CFACK_OK);
    REFUSED(cfack_writer_add(writer, images, records), CFACK_ERROR_INVALID);
    EXPECT(cfack_writer_commit(writer) == CFACK_OK);
    EXPECT(cfack_writer_add(writer, images, records) == CFACK_OK); /* replaces */
    EXPECT(cfack_writer_close(writer) == CFACK_OK);
    EXPECT(cfack_gallery_open(&gallery, path) == CFACK_OK);
    EXPECT(cfack_gallery_find(&place, gallery, "a.png") == CFACK_OK && place == 0);
    REFUSED(cfack_gallery_find(&place, gallery, "b.png"), CFACK_ERROR_NOT_FOUND);
    EXPECT(cfack_gallery_get_image(&found, gallery, 0) == CFACK_OK && found.file_size == 12 && found.mtime_ns == -5);
    EXPECT(strcmp(found.metadata_json, "{\"camera\": \"east\", \"lane\": 2}") == 0);
    REFUSED(cfack_gallery_get_image(&found, gallery, 1), CFACK_ERROR_NOT_FOUND);
    EXPECT(cfack_gallery_get_embedding(row, gallery, 0) == CFACK_OK);
    REFUSED(cfack_gallery_get_embedding(row, gallery, 1), CFACK_ERROR_NOT_FOUND);
    cfack_gallery_free(gallery);
    options.tokens = 0;
    REFUSED(cfack_writer_open(&writer, path, bundle, &options), CFACK_ERROR_GALLERY);
    EXPECT(cfack_writer_open(&writer, path, bundle, NULL) == CFACK_OK);
    EXPECT(cfack_writer_remove(writer, paths, 2) == CFACK_OK);
    cfack_writer_free(writer);
    cfack_writer_free(NULL);
    REFUSED(cfack_writer_close(NULL), CFACK_ERROR_INVALID);
    REFUSED(cfack_writer_commit(NULL), CFACK_ERROR_INVALID);
    EXPECT(cfack_gallery_open(&gallery, path) == CFACK_OK);
    REFUSED(cfack_gallery_find(&place, gallery, "a.png"), CFACK_ERROR_NOT_FOUND);
    cfack_gallery_free(gallery);
    cfack_images_free(images);
    free(row);
}

static void test_search(const cfack_bundle *bundle, const char *photos, const char *path, const char *other) {
    cfack_gallery *gallery = NULL;
    cfack_results *results = NULL;
    cfack_gallery_info info = CFACK_GALLERY_INFO_INIT;
    cfack_index_options index = CFACK_INDEX_OPTIONS_INIT;
    cfack_index_report report = CFACK_INDEX_REPORT_INIT;
    cfack_search_options options = CFACK_SEARCH_OPTIONS_INIT;
    cfack_hit hit = CFACK_HIT_INIT;
    const char *queries[] = {"a person in red", "a person in a blue coat"};
    const char *empty[] = {"a", "?"};
    int skipped = 0;
    REFUSED(cfack_gallery_open(&gallery, "/nothing/here"), CFACK_ERROR_GALLERY);
    REFUSED(cfack_index_folder(&report, bundle, "/nothing/here", path, NULL), CFACK_ERROR_DATA);
    index.progress = stop;
    REFUSED(cfack_index_folder(&report, bundle, photos, path, &index), CFACK_ERROR_CANCELLED);
    index.progress = NULL;
    index.skipped = count_skipped;
    index.payload = &skipped;
    EXPECT(cfack_index_folder(&report, bundle, photos, path, &index) == CFACK_OK && report.images != 0);
    EXPECT(report.images == report.added + report.unchanged && report.skipped == (uint64_t)skipped);
    EXPECT(cfack_index_folder(&report, bundle, photos, path, NULL) == CFACK_OK && report.added == 0);
    EXPECT(cfack_gallery_open(&gallery, path) == CFACK_OK);
    EXPECT(cfack_gallery_get_info(&info, gallery) == CFACK_OK && info.images == report.images);
    EXPECT(info.image_token_count != 0);
    EXPECT(cfack_search(&results, bundle, gallery, queries, 2, NULL) == CFACK_OK);
    EXPECT(cfack_results_query_count(results) == 2 && cfack_results_query_count(NULL) == 0);
    EXPECT(cfack_results_hit_count(results, 0) != 0 && cfack_results_hit_count(results, 2) == 0);
    EXPECT(cfack_results_is_truncated(results, 0) == 0 && cfack_results_is_truncated(NULL, 0) == 0);
    EXPECT(cfack_results_get_hit(&hit, results, 1, 0) == CFACK_OK && hit.rank == 1 && hit.reranked == 1);
    REFUSED(cfack_results_get_hit(&hit, results, 2, 0), CFACK_ERROR_INVALID);
    cfack_results_free(results);
    options.where = "path ~ *red*";
    EXPECT(cfack_search(&results, bundle, gallery, queries, 1, &options) == CFACK_OK);
    EXPECT(cfack_results_hit_count(results, 0) != 0 && cfack_results_hit_count(results, 0) < report.images);
    cfack_results_free(results);
    options.where = "path ~";
    REFUSED(cfack_search(&results, bundle, gallery, queries, 1, &options), CFACK_ERROR_INVALID);
    options.where = "camera = east";
    REFUSED(cfack_search(&results, bundle, gallery, queries, 1, &options), CFACK_ERROR_INVALID);
    options.where = NULL;
    options.score = 3;
    REFUSED(cfack_search(&results, bundle, gallery, queries, 1, &options), CFACK_ERROR_INVALID);
    options.score = CFACK_SCORE_LOGIT;
    options.k = 0;
    REFUSED(cfack_search(&results, bundle, gallery, queries, 2, &options), CFACK_ERROR_INVALID);
    options.k = 2;
    options.rerank = -2;
    REFUSED(cfack_search(&results, bundle, gallery, queries, 2, &options), CFACK_ERROR_INVALID);
    options.rerank = 0;
    EXPECT(cfack_search(&results, bundle, gallery, queries, 1, &options) == CFACK_OK);
    EXPECT(cfack_results_get_hit(&hit, results, 0, 0) == CFACK_OK && hit.reranked == 0 && isnan(hit.match_score));
    cfack_results_free(results);
    options.use_min_score = 1;
    options.min_score = 2;
    EXPECT(cfack_search(&results, bundle, gallery, queries, 1, &options) == CFACK_OK);
    EXPECT(cfack_results_hit_count(results, 0) == 0);
    cfack_results_free(results);
    REFUSED(cfack_search(&results, bundle, gallery, empty, 2, NULL), CFACK_ERROR_DATA);
    EXPECT(results == NULL && strstr(cfack_last_error(), "query 1") != NULL);
    if (other != NULL) {
        cfack_bundle *stranger = NULL;
        EXPECT(cfack_bundle_open(&stranger, other, NULL) == CFACK_OK);
        REFUSED(cfack_search(&results, stranger, gallery, queries, 1, NULL), CFACK_ERROR_EMBEDDING_SPACE);
        cfack_bundle_free(stranger);
    }
    cfack_gallery_free(gallery);
    cfack_gallery_free(NULL);
    cfack_results_free(NULL);
}

/* A call that is under way, and a writer, hold their bundle. */
static void test_freed_early(const char *path, const char *photos, const char *photo, const char *work) {
    char folder[4096];
    cfack_bundle *bundle = NULL;
    cfack_images *images = NULL;
    cfack_writer *writer = NULL;
    cfack_index_options index = CFACK_INDEX_OPTIONS_INIT;
    cfack_index_report report = CFACK_INDEX_REPORT_INIT;
    cfack_gallery_image record = CFACK_GALLERY_IMAGE_INIT;
    const cfack_gallery_image *records[] = {&record};
    record.path = "a.png";
    index.batch_size = 1;
    index.progress = free_bundle;
    index.payload = &bundle;
    EXPECT(cfack_bundle_open(&bundle, path, NULL) == CFACK_OK);
    snprintf(folder, sizeof folder, "%s/freed-indexing", work);
    EXPECT(cfack_index_folder(&report, bundle, photos, folder, &index) == CFACK_OK);
    EXPECT(bundle == NULL && report.added > 1);
    EXPECT(cfack_bundle_open(&bundle, path, NULL) == CFACK_OK && cfack_images_new(&images, bundle) == CFACK_OK);
    snprintf(folder, sizeof folder, "%s/freed-writing", work);
    EXPECT(cfack_writer_open(&writer, folder, bundle, NULL) == CFACK_OK);
    cfack_bundle_free(bundle);
    EXPECT(cfack_images_add_file(images, photo) == CFACK_OK && cfack_writer_add(writer, images, records) == CFACK_OK);
    EXPECT(cfack_writer_close(writer) == CFACK_OK);
    cfack_images_free(images);
}

int main(int argc, char **argv) {
    cfack_bundle *bundle = NULL;
    cfack_bundle_info info = CFACK_BUNDLE_INFO_INIT;
    char photo[4096], gallery[4096], indexed[4096];
    if (argc < 4) return 2;
    snprintf(photo, sizeof photo, "%s/red.png", argv[2]);
    snprintf(gallery, sizeof gallery, "%s/written", argv[3]);
    snprintf(indexed, sizeof indexed, "%s/indexed", argv[3]);
    test_version();
    test_options();
    test_bundle_refusals(argv[1], photo);
    EXPECT(cfack_bundle_open(&bundle, argv[1], NULL) == CFACK_OK);
    if (bundle == NULL) return 1;
    EXPECT(cfack_bundle_get_info(&info, bundle) == CFACK_OK && info.embed_dim != 0 && *info.onnxruntime == '1');
    info.size = 8;
    REFUSED(cfack_bundle_get_info(&info, bundle), CFACK_ERROR_INVALID);
    test_texts(bundle, info.embed_dim);
    test_images(bundle, &info, photo);
    test_writer(bundle, photo, gallery);
    test_search(bundle, argv[2], indexed, argc > 4 ? argv[4] : NULL);
    test_freed_early(argv[1], argv[2], photo, argv[3]);
    cfack_bundle_free(bundle);
    cfack_bundle_free(NULL);
    printf("%d failures\n", failures);
    return failures == 0 ? 0 : 1;
}
