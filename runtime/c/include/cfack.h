/*
 * libcfack: find images of people by a sentence, from C.
 *
 * Copyright The CFACK authors. Licensed under the Apache License, Version 2.0.
 *
 * docs/c-api.md is made from the comments of this file; a comment that begins with two stars is part of it.
 */
#ifndef CFACK_H
#define CFACK_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define CFACK_API
#else
#define CFACK_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/** @section Conventions
 *
 * - Every function that can fail returns an `int`: `CFACK_OK`, or one of the negative `CFACK_ERROR_` codes. Its
 *   message is then `cfack_last_error()` of the same thread. Nothing is written to stdout or stderr, and no C++
 *   exception leaves the library.
 * - What a function makes comes first among its arguments. An `out` pointer to a handle is set to NULL on failure.
 * - Handles are opaque. Whoever gets one frees it with the function of its name; freeing NULL does nothing.
 * - Structs that may grow begin with `size`, the `sizeof` of the struct as the caller knows it. Set it with the
 *   struct's `_INIT` macro or `_init` function. New members come last, and zero means what was before: a struct
 *   that is shorter than this library's, from an older header, is taken with zeros behind it. Members that a newer
 *   caller sets and this library does not know are refused if they are not zero.
 * - Strings are UTF-8 and end with NUL. A path is taken as the system takes it.
 * - Threads: an opened bundle and an opened gallery never change, and any number of threads may use one at the same
 *   time. `cfack_images`, `cfack_writer` and `cfack_results` belong to one thread at a time. No call may begin with a
 *   handle that another thread is freeing. A call that is under way holds its bundle and its gallery until it returns,
 *   so freeing these meanwhile, from a callback for example, is safe; freeing anything else that is in use is not.
 */

/** The version of this header. */
#define CFACK_VERSION_MAJOR 0
#define CFACK_VERSION_MINOR 1
#define CFACK_VERSION_PATCH 0

/** The ABI of this header. A program works with every library whose `cfack_abi_version()` is the same: functions and
 *  members are added under one number, and what would break a compiled program raises it. */
#define CFACK_ABI_VERSION 1

/** @section Errors */

/** What a call came to. */
enum {
    CFACK_OK = 0,                     /**< done */
    CFACK_ERROR_INVALID = -1,         /**< the call cannot be carried out as asked: an argument is NULL or out of range */
    CFACK_ERROR_DATA = -2,            /**< a sentence is empty or no UTF-8, or a folder holds no image that can be read */
    CFACK_ERROR_IMAGE = -3,           /**< one image cannot be read */
    CFACK_ERROR_BUNDLE = -4,          /**< the bundle is wrong, damaged, or has no such precision */
    CFACK_ERROR_GALLERY = -5,         /**< the gallery is wrong, damaged, being written by another process, or unwritable */
    CFACK_ERROR_EMBEDDING_SPACE = -6, /**< gallery and bundle belong to different models */
    CFACK_ERROR_BACKEND = -7,         /**< ONNX Runtime or the device is not there, or a graph failed */
    CFACK_ERROR_MEMORY = -8,          /**< no memory, or more than `memory_limit` would be needed */
    CFACK_ERROR_NOT_FOUND = -9,       /**< the gallery has no such image */
    CFACK_ERROR_CANCELLED = -10,      /**< a callback asked to stop */
    CFACK_ERROR_INTERNAL = -11        /**< a fault of the library */
};

/** The message of the last call of this thread that failed: what was got, what was expected, what to do.
 *  Empty if none has failed. Belongs to the library and stays valid until the next failure in this thread. */
CFACK_API const char *cfack_last_error(void);

/** The code that belongs to `cfack_last_error`; `CFACK_OK` if no call of this thread has failed. */
CFACK_API int cfack_last_error_code(void);

/** The name of a code, for example "CFACK_ERROR_BUNDLE"; "unknown" for other numbers. Static. */
CFACK_API const char *cfack_status_name(int code);

/** @section Version */

/** The version of the library, for example "0.1.0". Static. */
CFACK_API const char *cfack_version(void);

/** The version of the library in numbers. Any pointer may be NULL. */
CFACK_API void cfack_version_numbers(int *major, int *minor, int *patch);

/** The ABI of the library; compare it with `CFACK_ABI_VERSION`. */
CFACK_API int cfack_abi_version(void);

/** @section Bundle
 *
 * A bundle is what `cfack export` writes: graphs, tokenizer and the rules that go with them. */

/** An opened bundle, with its graphs loaded. Any number of threads may use one. */
typedef struct cfack_bundle cfack_bundle;

/** What runs the graphs. Whatever is asked for is verified; nothing falls back to another. */
enum {
    CFACK_BACKEND_CPU = 0,     /**< ONNX Runtime on the CPU */
    CFACK_BACKEND_CUDA = 1,    /**< ONNX Runtime's CUDA provider */
    CFACK_BACKEND_TENSORRT = 2, /**< ONNX Runtime's TensorRT provider, CUDA for what it leaves over */
    CFACK_BACKEND_TENSORRT_ENGINES = 3,    /**< the bundle's own engines, by TensorRT; see `cfack_has_engines` */
    CFACK_BACKEND_TENSORRT_RTX_ENGINES = 4 /**< the bundle's own engines, by TensorRT-RTX; likewise */
};

/** 1 if this library was compiled with the headers of the library that runs the engines of `backend`, so that they
 *  can be asked for; else 0, and opening a bundle with it fails with CFACK_ERROR_BACKEND. */
CFACK_API int cfack_has_engines(int backend);

/** How a bundle is opened. */
typedef struct cfack_bundle_options {
    size_t size;            /**< `sizeof(cfack_bundle_options)` */
    int32_t backend;        /**< a `CFACK_BACKEND_`; 0: CPU */
    int32_t device;         /**< number of the GPU */
    const char *precision;  /**< a precision of the bundle; NULL or "auto": the best for the backend */
    int32_t threads;        /**< CPU threads for one operator; 0: one a physical core */
    int32_t reserved;       /**< 0 */
    uint64_t memory_limit;  /**< most bytes for weights and intermediate results, 0 for no limit, which it must be for
                                 engines; on a GPU of each graph.
                                 On the CPU a process can have one bundle with a limit open at a time, or the same
                                 one several times, which then share it */
    const char *onnxruntime; /**< path of ONNX Runtime's shared library; NULL: the environment variable
                                  CFACK_ONNXRUNTIME, then what the system's loader finds */
    const char *engine_library; /**< path of TensorRT's or TensorRT-RTX's shared library, for the backends of engines;
                                  NULL: the environment variable CFACK_TENSORRT or CFACK_TENSORRT_RTX, then what the
                                  system's loader finds */
} cfack_bundle_options;

/** The defaults: CPU, the best precision, the library's choice of threads, no limit. */
#define CFACK_BUNDLE_OPTIONS_INIT { sizeof(cfack_bundle_options), 0, 0, NULL, 0, 0, 0, NULL, NULL }

/** The same as `CFACK_BUNDLE_OPTIONS_INIT`, for languages without macros. */
CFACK_API int cfack_bundle_options_init(cfack_bundle_options *options);

/** Check a bundle and load its graphs: every file that is used must have the size and the SHA-256 of the manifest.
 *  `options` may be NULL. Free `*out` with `cfack_bundle_free`.
 *  Fails with CFACK_ERROR_BUNDLE, _BACKEND, _MEMORY, or _INVALID for options out of range. */
CFACK_API int cfack_bundle_open(cfack_bundle **out, const char *path, const cfack_bundle_options *options);

/** What an opened bundle is. Its strings belong to the bundle. */
typedef struct cfack_bundle_info {
    size_t size;                 /**< `sizeof(cfack_bundle_info)` */
    const char *path;            /**< absolute */
    const char *precision;       /**< the one that runs */
    const char *embedding_space; /**< identity of weights, tokenizer and preprocessing: 64 hexadecimal digits */
    const char *onnxruntime;     /**< version of the ONNX Runtime that was loaded; empty if engines run */
    uint32_t image_height;       /**< H, pixels that the image encoder takes */
    uint32_t image_width;        /**< W */
    uint32_t image_token_count;  /**< 1 + N */
    uint32_t image_token_width;  /**< C of image tokens */
    uint32_t text_token_width;   /**< C of text tokens */
    uint32_t embed_dim;          /**< D, floats of an embedding */
    uint32_t max_tokens;         /**< longest text in word pieces, [CLS] and [SEP] included */
    uint32_t vocab_size;         /**< rows of the word embedding */
    const char *engine_library;  /**< version of the TensorRT or TensorRT-RTX that runs; empty if ONNX Runtime does */
    int32_t has_score_calibration; /**< 1: `CFACK_SCORE_PROBABILITY` can be asked for */
    int32_t reserved;            /**< 0 */
} cfack_bundle_info;

/** An empty one, to be filled by `cfack_bundle_get_info`. */
#define CFACK_BUNDLE_INFO_INIT \
    { sizeof(cfack_bundle_info), NULL, NULL, NULL, NULL, 0, 0, 0, 0, 0, 0, 0, 0, NULL, 0, 0 }

/** Fill `*out`, whose `size` is set. Its strings are valid until the bundle is freed. */
CFACK_API int cfack_bundle_get_info(cfack_bundle_info *out, const cfack_bundle *bundle);

/** Free a bundle. Its graphs are freed with the last call and the last writer that uses them. */
CFACK_API void cfack_bundle_free(cfack_bundle *bundle);

/** @section Texts */

/** Turn a sentence into word-piece ids, [CLS] and [SEP] included, as the text encoder gets them.
 *  `*count` is the room in `ids` on entry and the number of ids on return; `max_tokens` of the bundle always
 *  suffices, and with less room than needed the call fails with CFACK_ERROR_INVALID and `*count` says how many.
 *  Fails with CFACK_ERROR_DATA if the text is empty or no UTF-8. Thread-safe. */
CFACK_API int cfack_tokenize(int64_t *ids, size_t *count, const cfack_bundle *bundle, const char *text);

/** Encode `count` sentences. `embeddings` has room for `count` x `embed_dim` floats, row by row; every row gets
 *  length 1. Fails with CFACK_ERROR_DATA if a sentence is empty or no UTF-8 (the message gives its index), or with
 *  CFACK_ERROR_BACKEND or _MEMORY. Thread-safe. */
CFACK_API int cfack_encode_texts(float *embeddings, const cfack_bundle *bundle, const char *const *texts,
                                 size_t count);

/** @section Images */

/** A list of images, decoded and resized to what a bundle's image encoder takes. Belongs to one thread at a time. */
typedef struct cfack_images cfack_images;

/** Make an empty list for the size of `bundle`'s images. Free it with `cfack_images_free`; the bundle may be freed
 *  before. */
CFACK_API int cfack_images_new(cfack_images **out, const cfack_bundle *bundle);

/** Decode a file and append it: JPEG or PNG, turned upright by its EXIF orientation.
 *  Fails with CFACK_ERROR_IMAGE; the list stays as it was. */
CFACK_API int cfack_images_add_file(cfack_images *images, const char *path);

/** The same from the content of such a file. `data` is not needed after the call. */
CFACK_API int cfack_images_add_encoded(cfack_images *images, const void *data, size_t data_size);

/** Append an image from 8-bit RGB pixels: `height` rows, each `stride` bytes after the one before and at least
 *  3 x `width` long. `pixels` is not needed after the call. Fails with CFACK_ERROR_INVALID for sizes below 1, too
 *  large, or a stride too small. */
CFACK_API int cfack_images_add_rgb(cfack_images *images, const void *pixels, uint32_t width, uint32_t height,
                                   size_t stride);

/** Number of images in the list; 0 for NULL. */
CFACK_API size_t cfack_images_count(const cfack_images *images);

/** The resized pixels of one image: `image_height` x `image_width` x 3 bytes, RGB. They belong to the list and are
 *  valid until it changes. Fails with CFACK_ERROR_INVALID if there is no such image. */
CFACK_API int cfack_images_get_pixels(const uint8_t **out, const cfack_images *images, size_t index);

/** Take all images out; memory is kept for the next ones. NULL is allowed. */
CFACK_API void cfack_images_clear(cfack_images *images);

/** Free a list. */
CFACK_API void cfack_images_free(cfack_images *images);

/** Encode the images of a list. `embeddings` has room for `cfack_images_count` x `embed_dim` floats, row by row;
 *  every row gets length 1. Fails with CFACK_ERROR_INVALID if the list was made for another size, or with
 *  CFACK_ERROR_BACKEND or _MEMORY. Thread-safe as far as each thread has its own list. */
CFACK_API int cfack_encode_images(float *embeddings, const cfack_bundle *bundle, const cfack_images *images);

/** Match one sentence with the images of a list by the re-ranker. `logits` has room for `cfack_images_count` x 2
 *  floats, row by row; logit 1 ranks. Fails as `cfack_encode_texts` and `cfack_encode_images`. */
CFACK_API int cfack_match_images(float *logits, const cfack_bundle *bundle, const char *text,
                                 const cfack_images *images);

/** What the re-ranker's two logits z0 and z1 are made into: they rank by it, and `min_score` is compared with it. */
enum {
    CFACK_SCORE_LOGIT = 0,      /**< ranks by z1, the official score; shown and compared is the softmax, 0 to 1 */
    CFACK_SCORE_LOG_ODDS = 1,   /**< z1 - z0 */
    CFACK_SCORE_PROBABILITY = 2 /**< how probably they match, 0 to 1, by the bundle's score calibration */
};

/** What a hit with these two logits shows as `match_score`. `score` is a `CFACK_SCORE_`; `cosine` is that of the two
 *  embeddings, which only a probability needs. Fails with CFACK_ERROR_INVALID for another score, or for a probability
 *  of a bundle without score calibration. Thread-safe. */
CFACK_API int cfack_match_score(double *out, const cfack_bundle *bundle, int score, const float *logits,
                                float cosine);

/** @section Gallery
 *
 * A gallery is a folder of images encoded once. Python and C read and write the same. */

/** A gallery as it was when it was opened; it never changes, and any number of threads may use it. */
typedef struct cfack_gallery cfack_gallery;

/** Read a gallery and check its files. Free `*out` with `cfack_gallery_free`. A writer may go on meanwhile: what it
 *  adds is seen by opening the gallery again. Fails with CFACK_ERROR_GALLERY. */
CFACK_API int cfack_gallery_open(cfack_gallery **out, const char *path);

/** What an opened gallery is. Its strings belong to the gallery. */
typedef struct cfack_gallery_info {
    size_t size;                 /**< `sizeof(cfack_gallery_info)` */
    const char *path;            /**< absolute */
    const char *embedding_space; /**< of the bundle that encoded the images */
    const char *bundle;          /**< absolute path of that bundle when it was last used for writing */
    const char *root;            /**< absolute path of the folder that the images' paths are relative to */
    uint64_t images;             /**< number of images */
    uint32_t embed_dim;          /**< D */
    uint32_t image_token_count;  /**< 1 + N; 0: no tokens are kept, nothing can be re-ranked */
    uint32_t image_token_width;  /**< C; 0 likewise */
    uint32_t reserved;           /**< 0 */
} cfack_gallery_info;

/** An empty one, to be filled by `cfack_gallery_get_info`. */
#define CFACK_GALLERY_INFO_INIT { sizeof(cfack_gallery_info), NULL, NULL, NULL, NULL, 0, 0, 0, 0, 0 }

/** Fill `*out`, whose `size` is set. Its strings are valid until the gallery is freed. */
CFACK_API int cfack_gallery_get_info(cfack_gallery_info *out, const cfack_gallery *gallery);

/** One image of a gallery; its path identifies it. */
typedef struct cfack_gallery_image {
    size_t size;               /**< `sizeof(cfack_gallery_image)` */
    const char *path;          /**< relative to `root`, "/" between parts */
    const char *metadata_json; /**< a JSON object of numbers, strings and booleans; "{}" if there is nothing. NULL in an
                                    image to be added is "{}" */
    uint64_t file_size;        /**< of the image file, in bytes, when it was encoded */
    int64_t mtime_ns;          /**< its time of last change then, in nanoseconds since 1970 */
} cfack_gallery_image;

/** An empty one. */
#define CFACK_GALLERY_IMAGE_INIT { sizeof(cfack_gallery_image), NULL, NULL, 0, 0 }

/** Fill `*out`, whose `size` is set, with the image at `place`, from 0 in the order in which images were added. Its
 *  strings are valid until the gallery is freed. Fails with CFACK_ERROR_NOT_FOUND. */
CFACK_API int cfack_gallery_get_image(cfack_gallery_image *out, const cfack_gallery *gallery, uint64_t place);

/** Find the place of an image by its path. Fails with CFACK_ERROR_NOT_FOUND. */
CFACK_API int cfack_gallery_find(uint64_t *out, const cfack_gallery *gallery, const char *path);

/** Copy the embedding of an image, `embed_dim` floats. Fails with CFACK_ERROR_NOT_FOUND. */
CFACK_API int cfack_gallery_get_embedding(float *out, const cfack_gallery *gallery, uint64_t place);

/** Free a gallery. Searches that run end as if it were not freed, and results of searches stay valid. */
CFACK_API void cfack_gallery_free(cfack_gallery *gallery);

/** @section Writing a gallery */

/** The one process that may change a gallery. Belongs to one thread at a time. */
typedef struct cfack_writer cfack_writer;

/** How image tokens are kept, which re-ranking needs. A gallery has them, or not, for all of its images. */
enum {
    CFACK_TOKENS_NONE = 0,    /**< not */
    CFACK_TOKENS_DEFAULT = 1, /**< as the gallery has them; FP16 in a new one */
    CFACK_TOKENS_FP16 = 2,    /**< in 16 bits */
    CFACK_TOKENS_INT8 = 3     /**< in 8 bits and a scale for each token: half the size. Refused unless the bundle says
                                   that re-ranking from such tokens passed its parity gate, or `allow_unmeasured` */
};

/** How embeddings are kept. */
enum {
    CFACK_EMBEDDINGS_DEFAULT = 0, /**< as the gallery has them; FP32 in a new one */
    CFACK_EMBEDDINGS_FP32 = 1,    /**< in 32 bits */
    CFACK_EMBEDDINGS_FP16 = 2     /**< in 16 bits: half the size, cosines move by some 1e-4 */
};

/** How a gallery is written. */
typedef struct cfack_writer_options {
    size_t size;      /**< `sizeof(cfack_writer_options)` */
    const char *root; /**< folder that the images' paths are relative to; NULL: the gallery's own folder. It is kept as
                           an absolute path and must be the same for all images of a gallery */
    int32_t tokens;     /**< a `CFACK_TOKENS_` */
    int32_t embeddings; /**< a `CFACK_EMBEDDINGS_` */
    int32_t allow_unmeasured; /**< 1: take INT8 tokens whatever the bundle says of them */
    int32_t reserved;   /**< 0 */
} cfack_writer_options;

/** The defaults: root is the gallery's own folder, tokens and embeddings are kept as the gallery has them. */
#define CFACK_WRITER_OPTIONS_INIT { sizeof(cfack_writer_options), NULL, CFACK_TOKENS_DEFAULT, 0, 0, 0 }

/** The same as `CFACK_WRITER_OPTIONS_INIT`, for languages without macros. */
CFACK_API int cfack_writer_options_init(cfack_writer_options *options);

/** Open a gallery for writing, and make it if there is none. `bundle` encodes the images; it may be freed before the
 *  writer, which holds it. `options` may be NULL. End with `cfack_writer_close`, or `cfack_writer_free`.
 *  Fails with CFACK_ERROR_GALLERY if another process is writing, or the folder cannot be written, holds something else
 *  or was made with another `root`, `tokens` or `embeddings`; with CFACK_ERROR_EMBEDDING_SPACE if it belongs to another
 *  model; with CFACK_ERROR_INVALID for options out of range, and for INT8 tokens that are refused. */
CFACK_API int cfack_writer_open(cfack_writer **out, const char *path, const cfack_bundle *bundle,
                                const cfack_writer_options *options);

/** Encode the images of a list and append them, the first as `*records[0]` and so on: `path`, `metadata_json`,
 *  `file_size` and `mtime_ns`. An image whose path is in the gallery already replaces that one. Nothing is part of the
 *  gallery before the next commit. Fails with CFACK_ERROR_INVALID if a path is not relative or given twice, or
 *  metadata is no flat JSON object with names of 1 to 100 characters, none of them "path"; with CFACK_ERROR_BACKEND
 *  or _MEMORY; or with CFACK_ERROR_GALLERY if the disk does not take it: what was added since the last commit is lost
 *  then. */
CFACK_API int cfack_writer_add(cfack_writer *writer, const cfack_images *images,
                               const cfack_gallery_image *const *records);

/** Commit, and take the images of these paths out of the gallery; unknown paths are ignored. Their bytes stay. */
CFACK_API int cfack_writer_remove(cfack_writer *writer, const char *const *paths, size_t count);

/** Make what was added so far part of the gallery, for good: it is on the disk when the call returns. */
CFACK_API int cfack_writer_commit(cfack_writer *writer);

/** Commit and free. The writer is freed also if the commit fails. */
CFACK_API int cfack_writer_close(cfack_writer *writer);

/** Free a writer; what was added since the last commit is dropped. */
CFACK_API void cfack_writer_free(cfack_writer *writer);

/** How a folder is indexed. Callbacks run in the calling thread. */
typedef struct cfack_index_options {
    size_t size;         /**< `sizeof(cfack_index_options)` */
    int32_t tokens;      /**< a `CFACK_TOKENS_` */
    uint32_t batch_size; /**< images decoded before they are encoded */
    int (*progress)(uint64_t done, uint64_t total, void *payload); /**< counts files that have to be encoded; anything
                              but 0 stops, and what was encoded so far stays in the gallery. May be NULL */
    void (*skipped)(const char *path, const char *reason, void *payload); /**< told of each file that cannot be read.
                                                                               May be NULL */
    void *payload;       /**< given to the callbacks */
    int32_t embeddings;  /**< a `CFACK_EMBEDDINGS_` */
    int32_t allow_unmeasured; /**< 1: take INT8 tokens whatever the bundle says of them */
} cfack_index_options;

/** The defaults: tokens and embeddings are kept as the gallery has them, 8 images at a time, no callbacks. */
#define CFACK_INDEX_OPTIONS_INIT { sizeof(cfack_index_options), CFACK_TOKENS_DEFAULT, 8, NULL, NULL, NULL, 0, 0 }

/** The same as `CFACK_INDEX_OPTIONS_INIT`, for languages without macros. */
CFACK_API int cfack_index_options_init(cfack_index_options *options);

/** What one run of indexing did. */
typedef struct cfack_index_report {
    size_t size;        /**< `sizeof(cfack_index_report)` */
    uint64_t images;    /**< images in the gallery now */
    uint64_t added;     /**< encoded: new files and changed ones */
    uint64_t unchanged; /**< were in the gallery already */
    uint64_t removed;   /**< taken out, since their files are gone or can no longer be read */
    uint64_t skipped;   /**< files that could not be read */
    double seconds;     /**< how long it took */
} cfack_index_report;

/** An empty one, to be filled by `cfack_index_folder`. */
#define CFACK_INDEX_REPORT_INIT { sizeof(cfack_index_report), 0, 0, 0, 0, 0, 0.0 }

/** Encode the image files of a folder, and of the folders in it, into a gallery, or bring a gallery up to date with
 *  its folder: only new and changed files are encoded, and images whose files are gone are taken out. Files that
 *  cannot be read are skipped; formats that this library does not read (BMP, WebP) are among them. `report` and
 *  `options` may be NULL. Fails with CFACK_ERROR_DATA if no file can be read, _CANCELLED if `progress` said so, and
 *  as `cfack_writer_open` and `cfack_writer_add`. */
CFACK_API int cfack_index_folder(cfack_index_report *report, const cfack_bundle *bundle, const char *folder,
                                 const char *gallery, const cfack_index_options *options);

/** @section Search */

/** What searches found. Belongs to one thread at a time; outlives bundle and gallery. */
typedef struct cfack_results cfack_results;

/** Let the library choose the number of candidates to re-rank: 128, or none if the gallery has no tokens. */
#define CFACK_RERANK_DEFAULT (-1)

/** How to search. */
typedef struct cfack_search_options {
    size_t size;          /**< `sizeof(cfack_search_options)` */
    uint64_t k;           /**< images per query, at least 1; a smaller gallery gives all of it */
    int64_t rerank;       /**< candidates that the re-ranker puts in order, 0 for none, or `CFACK_RERANK_DEFAULT` */
    double min_score;     /**< with `use_min_score`, leave out images below it: it is compared with the match score
                               when re-ranking, which leaves out everything not re-ranked; with the cosine if not */
    int32_t use_min_score; /**< 0 or 1 */
    int32_t score;        /**< a `CFACK_SCORE_`: what the re-ranker orders by, and what the match score is */
    const char *where;    /**< search only images whose metadata fulfil this, for example
                               `camera=east and time>=2024-05-01`; docs/gallery.md has the language. NULL: all */
} cfack_search_options;

/** The defaults: ten images, the usual re-ranking and score, no threshold, no condition. */
#define CFACK_SEARCH_OPTIONS_INIT { sizeof(cfack_search_options), 10, CFACK_RERANK_DEFAULT, 0.0, 0, 0, NULL }

/** The same as `CFACK_SEARCH_OPTIONS_INIT`, for languages without macros. */
CFACK_API int cfack_search_options_init(cfack_search_options *options);

/** Find images by `count` sentences. The dual encoder ranks the whole gallery, exactly, ties by gallery order; the
 *  first `rerank` candidates are put in the order of the re-ranker's score, and what lies behind them keeps its
 *  order. `options` may be NULL. Free `*out` with `cfack_results_free`. Thread-safe.
 *  Fails with CFACK_ERROR_DATA if a sentence is empty or no UTF-8 (the message gives its index), with
 *  CFACK_ERROR_INVALID if `where` is malformed or asks for a field that no image has, or if a probability is asked
 *  for that the bundle has no calibration of, with CFACK_ERROR_EMBEDDING_SPACE if the gallery is of another model,
 *  with CFACK_ERROR_GALLERY if it holds no tokens and re-ranking was asked for, and with CFACK_ERROR_BACKEND or
 *  _MEMORY. */
CFACK_API int cfack_search(cfack_results **out, const cfack_bundle *bundle, const cfack_gallery *gallery,
                           const char *const *queries, size_t count, const cfack_search_options *options);

/** One image found. Its strings are valid until the results are freed. */
typedef struct cfack_hit {
    size_t size;               /**< `sizeof(cfack_hit)` */
    const char *path;          /**< relative to the gallery's `root` */
    const char *metadata_json; /**< a JSON object, "{}" if there is nothing */
    uint64_t place;            /**< in the gallery, for `cfack_gallery_get_image` */
    uint64_t rank;             /**< from 1 */
    double match_score;        /**< what the two logits come to, as `score` of the options says; NaN if the image
                                    was not re-ranked */
    float score;               /**< cosine of query and image */
    float match_logit;         /**< logit 1 of the re-ranker; NaN if the image was not re-ranked */
    int32_t reranked;          /**< 1 if the re-ranker saw the image */
    int32_t reserved;          /**< 0 */
} cfack_hit;

/** An empty one, to be filled by `cfack_results_get_hit`. */
#define CFACK_HIT_INIT { sizeof(cfack_hit), NULL, NULL, 0, 0, 0.0, 0.0f, 0.0f, 0, 0 }

/** Number of queries that the results are of; 0 for NULL. */
CFACK_API size_t cfack_results_query_count(const cfack_results *results);

/** Number of images found for one query; 0 for NULL and for no such query. */
CFACK_API size_t cfack_results_hit_count(const cfack_results *results, size_t query);

/** 1 if the query fills all the word pieces that the model reads, so that words at its end may have been ignored. */
CFACK_API int cfack_results_is_truncated(const cfack_results *results, size_t query);

/** Fill `*out`, whose `size` is set, with one image found, the best first. Fails with CFACK_ERROR_INVALID if there is
 *  no such query or image. */
CFACK_API int cfack_results_get_hit(cfack_hit *out, const cfack_results *results, size_t query, size_t index);

/** Free results. */
CFACK_API void cfack_results_free(cfack_results *results);

#ifdef __cplusplus
}
#endif

#endif /* CFACK_H */
