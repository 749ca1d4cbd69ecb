// UTF-8, and what the tokenizer and the caption rules ask about a code point.
//
// utf8proc answers; unicode_tables.inc holds the answers that `tokenizers` and Python give otherwise. Functions with
// an `out` replace what it holds and keep its memory.
#pragma once

#include <string>
#include <string_view>

namespace cfack {

// Throws CFACK_ERROR_DATA, naming the byte, where `utf8` is not valid UTF-8 (surrogates and overlong forms
// are not).
std::u32string decode_utf8(std::string_view utf8);
void decode_utf8(std::string_view utf8, std::u32string& out);
void append_utf8(std::string& out, char32_t code);
std::string encode_utf8(std::u32string_view text);

// Throws CFACK_ERROR_INTERNAL if the utf8proc that was loaded is not of the Unicode version of the tables.
void require_unicode_tables();

// As Python's `str.lower()`: a capital sigma at the end of a word becomes a final one.
void lower_as_python(std::u32string_view text, std::u32string& out);
// As Python's `str.isspace()`, and `\s` of its `re`.
bool is_space_to_python(char32_t code);

// The rest is as `tokenizers` sees it.
void append_lower(std::u32string& out, char32_t code);
bool is_space(char32_t code);         // White_Space
bool is_other(char32_t code);         // Cc, Cf, Co; code points that are not assigned are none of them
bool is_mark(char32_t code);          // Mn, the accents
bool is_punctuation(char32_t code);   // what BERT makes a word of its own
bool is_chinese(char32_t code);       // what BERT puts spaces around
void decompose(std::u32string_view text, std::u32string& out);  // NFD

}  // namespace cfack
