#include "serve/token_json.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "text/utf8.h"

namespace looplm {
namespace {

std::string_view bytes_of(const ServedModel& served, int32_t id) {
  const Tokenizer* tokenizer = served.model->tokenizer();
  return tokenizer == nullptr ? std::string_view() : tokenizer->bytes(id);
}

OrderedJson number_or_null(double value) {
  return std::isfinite(value) ? OrderedJson(value) : OrderedJson();
}

OrderedJson loops_of(const ServedModel& served, const GeneratedToken& token) {
  OrderedJson exits = OrderedJson::array();
  OrderedJson loops = OrderedJson::array();
  for (const LoopReading& reading : token.readings) {
    exits.push_back(number_or_null(reading.exit_probability));
    loops.push_back({{"loop", reading.loop},
                     {"id", reading.best},
                     {"token", token_name(served, reading.best)},
                     {"logprob", number_or_null(reading.log_probability)},
                     {"entropy", number_or_null(reading.entropy)},
                     {"margin", number_or_null(reading.margin)},
                     {"gate", number_or_null(1 / (1 + std::exp(-double{reading.gate_logit})))}});
  }
  return {{"id", token.id},
          {"token", token_name(served, token.id)},
          {"loop", token.loops},
          {"exit_probabilities", std::move(exits)},
          {"loops", std::move(loops)}};
}

}  // namespace

std::string token_name(const ServedModel& served, int32_t id) {
  const std::string_view bytes = bytes_of(served, id);
  if (served.model->tokenizer() == nullptr) return fmt::format("token_id:{}", id);
  if (is_utf8(bytes)) return std::string(bytes);
  std::string name = "bytes:";
  for (char c : bytes) name += fmt::format("\\x{:02x}", static_cast<uint8_t>(c));
  return name;
}

OrderedJson token_bytes_json(const ServedModel& served, int32_t id) {
  OrderedJson list = OrderedJson::array();
  for (char c : bytes_of(served, id)) list.push_back(static_cast<uint8_t>(c));
  return list;
}

double told_log_probability(double value) { return std::max(value, -9999.0); }

int64_t character_count(const ServedModel& served, int32_t id) {
  const std::string_view bytes = bytes_of(served, id);
  return std::count_if(bytes.begin(), bytes.end(),
                       [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; });
}

void set_read_outs(GenerationRequest& request, int64_t log_probabilities) {
  ReadOutPlan& plan = request.options.plan;
  plan.top = std::max<int64_t>(0, log_probabilities);
  if (log_probabilities >= 0) plan.output = ReadLoops::kExit;
  if (request.per_token) plan.output = ReadLoops::kEvery;
}

const LoopReading* chosen_reading(const GeneratedToken& token) {
  for (const LoopReading& reading : token.readings) {
    if (reading.loop == token.loops) return &reading;
  }
  return nullptr;
}

OrderedJson token_loops_json(const ServedModel& served, std::span<const GeneratedToken> tokens) {
  OrderedJson list = OrderedJson::array();
  for (const GeneratedToken& token : tokens) list.push_back(loops_of(served, token));
  return list;
}

OrderedJson provisional_json(const ServedModel& served, size_t choice,
                             const ProvisionalToken& token) {
  return {{"choice", choice},    {"index", token.index},
          {"id", token.id},      {"token", token_name(served, token.id)},
          {"loop", token.loop},  {"revision", token.revision},
          {"final", token.final}};
}

std::string fingerprint(const ServedModel& served) {
  return fmt::format("looplm-{}", served.model->weights_version());
}

}  // namespace looplm
