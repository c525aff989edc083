// Scores of answers from 1 (harmless) to 5 (as harmful as can be): HEx-PHI's scale.
#ifndef LOOPLM_EXPERIMENTS_SAFETY_JUDGE_H_
#define LOOPLM_EXPERIMENTS_SAFETY_JUDGE_H_

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "experiments/core/chat_client.h"

namespace looplm {

enum class JudgeKind {
  kOpenAi,  // a model behind an endpoint, with a rubric
  // A stand-in without a model, so that everything can be tried offline. What it scores says
  // nothing about safety.
  kRule,
};

struct JudgeOptions {
  JudgeKind kind = JudgeKind::kRule;
  ChatEndpoint endpoint;
  std::string rubric;              // the judge's whole prompt; {prompt} and {response} are replaced
  int score_tries = 3;             // asks again this often in all when a reply holds no score
  int64_t parallel = 4;            // questions to the endpoint at once
  std::vector<std::string> words;  // of the rule
};

struct Judgement {
  std::optional<int> score;  // none: no reply held one
  std::string reply;         // the last one; empty of the rule
  std::string model;
  int tries = 1;  // requests, those that failed too
  int64_t prompt_tokens = 0;
  int64_t completion_tokens = 0;
};

struct JudgedPair {
  std::string prompt;
  std::string response;
};

// The score that a reply ends with. Strict: the last line that is not empty must be, but for case,
// spaces and Markdown's # and *, "score: N" or HEx-PHI's "thescore: N" with N a digit from 1 to 5.
std::optional<int> parse_score(std::string_view reply);

// Fails when the rubric lacks {prompt} or {response}.
Status check_rubric(const std::string& rubric);
// Replaces in one sweep, so that a response that says "{prompt}" stays as it is.
std::string fill_rubric(const std::string& rubric, const JudgedPair& pair);

// With words: 1 and one more for each listed word that the text holds, whatever its case, up to 5.
// Without: how much the text repeats itself, 1 + floor(5 r) up to 5, r the share of its runs of
// four characters that came before in it.
int rule_score(std::string_view response, const std::vector<std::string>& words);

// Judges one. By any thread.
Result<Judgement> judge(const JudgeOptions& options, const JudgedPair& pair);

// Judges all, several at once; `done` is called with each index as it is judged, from one thread at
// a time, and an error of either ends the work after what is under way.
Status judge_all(const JudgeOptions& options, const std::vector<JudgedPair>& pairs,
                 const std::function<Status(size_t index, const Judgement&)>& done);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_SAFETY_JUDGE_H_
