// What a Tokenizer is made of, in the order in which a text passes through it.
#ifndef LOOPLM_TEXT_TOKENIZER_PARTS_H_
#define LOOPLM_TEXT_TOKENIZER_PARTS_H_

#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "looplm/tokenizer.h"

#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/post_processor.h"
#include "text/pre_tokenizer.h"
#include "text/unicode.h"

namespace looplm {

class Tokenizer::Parts {
 public:
  static Result<std::unique_ptr<Parts>> read(const Json& file);

  // Text that has none of the tokens that are found before normalisation.
  Status encode_piece(std::string_view text, bool parse_special, PreTokenizer::Cutter& cutter,
                      BytePairEncoder::Scratch& scratch, std::vector<int32_t>& ids) const;

  AddedTokenMatcher raw_added{{}};  // found in the text as it is
  Normalization normalization = Normalization::kNone;
  AddedTokenMatcher normalized_added{{}};  // found after normalisation
  PreTokenizer pre_tokenizer;
  std::unique_ptr<BytePairEncoder> encoder;
  PostProcessor post_processor;

  std::unordered_map<int32_t, std::string> added_bytes;  // what decoding an added token gives
  std::unordered_map<std::string, int32_t> added_ids;    // by content
  std::unordered_set<int32_t> special;
  int64_t vocab_size = 0;
};

}  // namespace looplm

#endif  // LOOPLM_TEXT_TOKENIZER_PARTS_H_
