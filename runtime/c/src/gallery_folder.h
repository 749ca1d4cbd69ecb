// A gallery's folder as a writer finds it: may it write there, alone, and what did the last one leave?
#pragma once

#include <string>

#include "files.h"
#include "gallery_index.h"

namespace cfack {

// Make the folder if need be, and keep other writers out until what is returned is closed; the system ends that with
// the process. Throws Error(CFACK_ERROR_GALLERY): the folder holds something else, or another process is writing.
Descriptor lock_gallery(const std::string& path);

// Remove what a killed writer left: segments that are not listed, and temporary files.
void remove_leftovers(const std::string& path, const GalleryIndex& index);

// Remove a folder to which no image was ever committed.
void remove_unused(const std::string& path);

// How new images keep their numbers: as those of the last segment do, else as asked for. Both numbers are those of
// cfack.h. Throws Error(CFACK_ERROR_GALLERY) if another kind is asked for than the gallery has.
Layout choose_layout(const std::string& path, const GalleryIndex& index, int embeddings, int tokens);

// Throws Error(CFACK_ERROR_GALLERY or CFACK_ERROR_EMBEDDING_SPACE) if new images may not join those that are there.
void require_same(const std::string& path, const Identity& found, const Identity& wanted);

}  // namespace cfack
