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

namespace cfack {

// Memory that one call needs, kept for the next: a query costs no allocation but its result.
struct Workspace {
  std::vector<std::vector<int64_t>> ids;  // word pieces of each text
  std::vector<size_t> order;
  std::vector<int64_t> input_ids, mask;
  std::vector<uint8_t> pixels, image_tokens, text_tokens;
  std::vector<float> scores, rough, logits;
  std::vector<double> ranked_by;
  std::vector<uint64_t> places;
  std::vector<uint32_t> ranking;
};

class Bundle {
 public:
  // Check the folder and load its graphs. `precision` may be "auto". Throws Error.
  static std::unique_ptr<Bundle> open(const std::string& path, const std::string& precision,
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
  void choose_precision(const std::string& wanted, int backend);
  const char* reranker_graph() const;
  BackendOptions without_weights(BackendOptions options) const;
  void load_graphs();
  std::unique_ptr<Backend> load(const char* graph) const;

  const std::string none_;
  std::string path_;
  std::string precision_;
  Manifest manifest_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<BackendLibrary> library_;
  std::unique_ptr<Backend> image_encoder_;
  std::unique_ptr<Backend> text_encoder_;
  std::unique_ptr<Backend> reranker_;
  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<Workspace>> workspaces_;
};

}  // namespace cfack
