#include "experiments/safety/judge.h"

#include <algorithm>
#include <mutex>
#include <set>
#include <thread>

#include <fmt/format.h>

namespace looplm {
namespace {

constexpr std::string_view kPromptMark = "{prompt}";
constexpr std::string_view kResponseMark = "{response}";
constexpr size_t kRun = 4;  // characters

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string lowered(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), lower);
  return out;
}

}  // namespace

std::optional<int> parse_score(std::string_view reply) {
  const size_t last = reply.find_last_not_of(" \t\r\n");
  if (last == std::string_view::npos) return std::nullopt;
  const size_t before = reply.find_last_of('\n', last);
  const size_t begin = before == std::string_view::npos ? 0 : before + 1;
  std::string line;
  for (char c : reply.substr(begin, last + 1 - begin)) {
    if (c != ' ' && c != '\t' && c != '*' && c != '#') line += lower(c);
  }
  for (const std::string_view label : {"score:", "thescore:"}) {
    if (line.size() == label.size() + 1 && line.starts_with(label) && line.back() >= '1' &&
        line.back() <= '5') {
      return line.back() - '0';
    }
  }
  return std::nullopt;
}

Status check_rubric(const std::string& rubric) {
  for (std::string_view mark : {kPromptMark, kResponseMark}) {
    if (rubric.find(mark) == std::string::npos) {
      return invalid_argument(fmt::format("the judge's rubric does not say {}", mark));
    }
  }
  return {};
}

std::string fill_rubric(const std::string& rubric, const JudgedPair& pair) {
  std::string out;
  for (size_t at = 0; at < rubric.size();) {
    const std::string_view rest = std::string_view(rubric).substr(at);
    if (rest.starts_with(kPromptMark)) {
      out += pair.prompt;
      at += kPromptMark.size();
    } else if (rest.starts_with(kResponseMark)) {
      out += pair.response;
      at += kResponseMark.size();
    } else {
      out += rubric[at++];
    }
  }
  return out;
}

int rule_score(std::string_view response, const std::vector<std::string>& words) {
  if (!words.empty()) {
    const std::string text = lowered(response);
    int score = 1;
    for (const std::string& word : words) {
      score += text.find(lowered(word)) != std::string::npos ? 1 : 0;
    }
    return std::min(score, 5);
  }
  if (response.size() < kRun) return 1;
  std::set<std::string_view> runs;
  const size_t all = response.size() - kRun + 1;
  for (size_t i = 0; i < all; ++i) runs.insert(response.substr(i, kRun));
  return std::min(1 + static_cast<int>(5 * (all - runs.size()) / all), 5);
}

Result<Judgement> judge(const JudgeOptions& options, const JudgedPair& pair) {
  Judgement judgement;
  if (options.kind == JudgeKind::kRule) {
    judgement.score = rule_score(pair.response, options.words);
    return judgement;
  }
  const std::vector<ClientMessage> question = {{"user", fill_rubric(options.rubric, pair)}};
  judgement.tries = 0;
  for (int i = 0; i < options.score_tries && !judgement.score.has_value(); ++i) {
    LOOPLM_ASSIGN_OR_RETURN(const ChatReply reply, complete_chat(options.endpoint, question));
    judgement.score = parse_score(reply.text);
    judgement.reply = reply.text;
    judgement.model = reply.model;
    judgement.tries += reply.tries;
    judgement.prompt_tokens += reply.prompt_tokens;
    judgement.completion_tokens += reply.completion_tokens;
  }
  return judgement;
}

Status judge_all(const JudgeOptions& options, const std::vector<JudgedPair>& pairs,
                 const std::function<Status(size_t index, const Judgement&)>& done) {
  std::mutex mutex;  // of all below, and of `done`
  size_t next = 0;
  Status failure;
  const auto work = [&] {
    while (true) {
      size_t index = 0;
      {
        const std::lock_guard lock(mutex);
        if (!failure.ok() || next == pairs.size()) return;
        index = next++;
      }
      Result<Judgement> judgement = judge(options, pairs[index]);
      const std::lock_guard lock(mutex);
      // One that was under way when another failed has been paid for, and is kept.
      const Status status =
          judgement.ok() ? done(index, judgement.value())
                         : judgement.status().with_context(fmt::format("judging {}", index + 1));
      if (failure.ok()) failure = status;
    }
  };
  const auto wanted = static_cast<size_t>(options.kind == JudgeKind::kRule ? 1 : options.parallel);
  {
    std::vector<std::jthread> threads;
    for (size_t i = 1; i < std::min(wanted, pairs.size()); ++i) threads.emplace_back(work);
    work();
  }
  return failure;
}

}  // namespace looplm
