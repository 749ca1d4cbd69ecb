// How a sentence is cleaned before it is cut into word pieces: the rule `pre-caption-1`.
#pragma once

#include <string>
#include <string_view>

namespace cfack {

// Lower case; punctuation becomes space; `<person>` becomes `person`; runs of white space shrink to one
// space; the first `max_words` words stay. Throws CFACK_ERROR_DATA if `utf8` is not UTF-8 or nothing is left.
std::string normalize_caption(std::string_view utf8, int max_words);

// The same, on code points; what is returned lies in `memory`.
std::u32string_view normalize_caption(std::u32string_view caption, int max_words, std::u32string& memory);

}  // namespace cfack
