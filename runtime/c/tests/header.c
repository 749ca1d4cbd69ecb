#include <cfack.h>

/* Every initialiser names every member, in C as well as in C++. */
int header_is_c99(void);
int header_is_c99(void) {
    cfack_bundle_options bundle = CFACK_BUNDLE_OPTIONS_INIT;
    cfack_bundle_info bundle_info = CFACK_BUNDLE_INFO_INIT;
    cfack_gallery_info gallery = CFACK_GALLERY_INFO_INIT;
    cfack_gallery_image image = CFACK_GALLERY_IMAGE_INIT;
    cfack_writer_options writer = CFACK_WRITER_OPTIONS_INIT;
    cfack_index_options index = CFACK_INDEX_OPTIONS_INIT;
    cfack_index_report report = CFACK_INDEX_REPORT_INIT;
    cfack_search_options search = CFACK_SEARCH_OPTIONS_INIT;
    cfack_hit hit = CFACK_HIT_INIT;
    return bundle.backend + (int)bundle_info.embed_dim + (int)gallery.images + (int)image.file_size + writer.tokens +
           index.tokens + (int)report.added + (int)search.k + hit.reranked;
}
