// A bundle: the folder that holds an exported model, checked and loaded.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "backend.h"
#include "manifest.h"
#include "tokenizer.h"
#include "workspace.h"

namespace cfack {

class Bundle {
 public:
  // Check the folder and load its graphs. `precision` may be "auto". Throws Error.
  static std::shared_ptr<const Bundle> open(const std::string& path, const std::string& precision,
                                            const BackendOptions& options);

  const std::string& path() const { return path_; }
  const std::string& precision() const { return precision_; }
  // Versions of the libraries that run the graphs; empty for the one that does not.
  const std::string& onnxruntime_version() const { return library_->target() == nullptr ? library_->version() : none_; }
  const std::string& engine_library_version() const {
    return library_->target() == nullptr ? none_ : library_->version();
  }
  const Geometry& geometry() const { return manifest_.geometry; }
  const std::string& embedding_space() const { return manifest_.embedding_space; }
  const std::optional<ScoreCalibration>& score_calibration() const { return manifest_.score_calibration; }
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  const Backend& image_encoder() const { return *image_encoder_; }
  const Backend& text_encoder() const { return *text_encoder_; }
  // Takes one text and many images: `reranker_one_text` where the precision has it, else `reranker`.
  const Backend& reranker() const { return *reranker_; }
  // Whether there is a graph that takes one image and many texts. With a memory limit it is not used: it holds all
  // weights of the re-ranker once more. For the same reason it is loaded and checked when it is first asked for.
  bool has_one_image() const;
  const Backend& one_image() const;  // throws Error
  // From how many texts of this mean length an image is cheaper once for all of them, by `one_image`.
  double texts_that_pay(double mean_length) const;
  // Images that the image encoder gets at once at most. On a CPU each call reads all weights, but many images lose what
  // a layer leaves to the next in its caches: two of base size. Small models would be slowed down by calls.
  size_t images_per_call() const;
  // Pairs that the re-ranker gets at once at most: as many as keep its image tokens near 56 MB in float32, or near 128
  // on a GPU, where launching the operators of a call takes as long for few pairs as for many, as on a CPU reading the
  // weights does.
  size_t pairs_per_call() const;
  // Whether re-ranking from INT8 tokens gave the same rankings when the precision was exported; nothing: not measured.
  std::optional<bool> int8_tokens_passed() const { return manifest_.find(precision_)->int8_tokens_passed; }

  // A workspace for the time of one call; the next call may get the same.
  class Lease {
   public:
    explicit Lease(const Bundle& bundle);
    ~Lease();
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    Workspace* operator->() { return workspace_.get(); }
    Workspace& operator*() { return *workspace_; }

   private:
    const Bundle& bundle_;
    std::unique_ptr<Workspace> workspace_;
  };

 private:
  Bundle() = default;

  void check_files() const;
  void open_tokenizer();
  void choose_precision(const std::string& wanted);
  const char* reranker_graph() const;
  BackendOptions without_weights() const;
  void load_graphs();
  std::unique_ptr<Backend> load(const char* graph) const;

  const std::string none_;
  std::string path_;
  BackendOptions options_;
  std::string precision_;
  Manifest manifest_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<BackendLibrary> library_;
  std::unique_ptr<Backend> image_encoder_;
  std::unique_ptr<Backend> text_encoder_;
  std::unique_ptr<Backend> reranker_;
  mutable std::mutex one_image_mutex_;
  mutable std::unique_ptr<Backend> one_image_;
  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<Workspace>> workspaces_;
};

}  // namespace cfack
