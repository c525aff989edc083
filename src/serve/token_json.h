// Tokens in answers: their names, log-probabilities, and what every loop said of them.
#ifndef LOOPLM_SERVE_TOKEN_JSON_H_
#define LOOPLM_SERVE_TOKEN_JSON_H_

#include <span>
#include <string>

#include "serve/generation_request.h"

namespace looplm {

inline constexpr int64_t kMostTopTokens = 20;

// A token's text; bytes that are not UTF-8 by themselves as "bytes:\xe2\x82".
std::string token_name(const ServedModel& served, int32_t id);
// Its bytes as numbers.
OrderedJson token_bytes_json(const ServedModel& served, int32_t id);
// JSON has no infinity; OpenAI's word for what is as good as impossible is -9999.
double told_log_probability(double value);
// Characters that begin in it.
int64_t character_count(const ServedModel& served, int32_t id);

// Plans what the answer's log-probabilities and loop details need.
void set_read_outs(GenerationRequest& request, int64_t log_probabilities);
// The reading of the loop that chose the token; null where none was planned.
const LoopReading* chosen_reading(const GeneratedToken& token);

// A list with an entry for each token:
// {"id", "token", "loop", "exit_probabilities", "loops": [{"loop", "token", "logprob", ...}]}
OrderedJson token_loops_json(const ServedModel& served, std::span<const GeneratedToken> tokens);
// {"choice", "index", "id", "token", "loop", "revision", "final"}
OrderedJson provisional_json(const ServedModel& served, size_t choice,
                             const ProvisionalToken& token);

// Names the weights and the program: the same one gives the same tokens for a seed.
std::string fingerprint(const ServedModel& served);

}  // namespace looplm

#endif  // LOOPLM_SERVE_TOKEN_JSON_H_
