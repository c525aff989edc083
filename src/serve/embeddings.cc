// /v1/embeddings: the mean or the last state of a chosen loop, of unit length.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include <boost/beast/core/detail/base64.hpp>
#include <fmt/format.h>

#include "serve/api.h"

namespace looplm {
namespace {

OrderedJson vector_json(const std::vector<float>& values, bool base64) {
  static_assert(std::endian::native == std::endian::little);
  if (!base64) return values;
  const size_t bytes = values.size() * sizeof(float);
  std::string text(boost::beast::detail::base64::encoded_size(bytes), '\0');
  text.resize(boost::beast::detail::base64::encode(text.data(), values.data(), bytes));
  return text;
}

void normalise(std::vector<float>& values) {
  double square = 0;
  for (float v : values) square += double{v} * v;
  if (square == 0) return;
  const double scale = 1 / std::sqrt(square);
  for (float& v : values) v = static_cast<float>(v * scale);
}

class EmbeddingFormat : public AnswerFormat {
 public:
  EmbeddingFormat(const ServedModel& served, bool base64, bool unit, size_t count)
      : served_(served), base64_(base64), unit_(unit), vectors_(count) {}

  void token(size_t, const GeneratedToken&, std::vector<StreamEvent>&) override {}
  void ended(size_t index, const Generation& generation, std::vector<StreamEvent>&) override {
    vectors_[index] = generation.embedding;
    if (unit_) normalise(vectors_[index]);
  }
  void closed(const Usage&, std::vector<StreamEvent>&) override {}
  OrderedJson whole(const Usage& usage) override {
    OrderedJson data = OrderedJson::array();
    for (size_t i = 0; i < vectors_.size(); ++i) {
      data.push_back({{"object", "embedding"},
                      {"index", i},
                      {"embedding", vector_json(vectors_[i], base64_)}});
    }
    return {
        {"object", "list"},
        {"data", std::move(data)},
        {"model", served_.name},
        {"usage", {{"prompt_tokens", usage.prompt_tokens}, {"total_tokens", usage.prompt_tokens}}}};
  }

 private:
  const ServedModel& served_;
  const bool base64_;
  const bool unit_;
  std::vector<std::vector<float>> vectors_;
};

}  // namespace

void serve_embeddings(const ApiContext& context, const ApiCall& call) {
  Fields f(call.body);
  std::vector<std::vector<int32_t>> inputs = read_prompts(f, "input", context.served);
  f.refuse("truncate_prompt_tokens", "\"truncate\": true cuts texts at the context's end");
  if (f.boolean("truncate", false)) {
    const auto most = static_cast<size_t>(context.served.context);
    for (std::vector<int32_t>& ids : inputs) ids.resize(std::min(ids.size(), most));
  }
  const std::string format = f.one_of("encoding_format", "float", {"float", "base64"});
  const int64_t width = context.served.model->config().hidden_size;
  if (f.integer("dimensions", width, 1, kMaxHiddenSize) != width) {
    f.wrong("dimensions",
            fmt::format("differs from the model's {}, the only width there is", width));
  }
  const std::string pooling = f.one_of("pooling", "mean", {"mean", "last"});
  const bool unit = f.boolean("normalize", true);
  Fields loop = f.inner("loop");
  loop.expect_only({"max_loops"});
  GenerationRequest r;
  r.options.exit.max_loops = loop.integer("max_loops", 0, 1, kMaxLoops);
  f.adopt(loop);
  if (f.failed()) return call.refuse(f.error());
  r.tenant = call.tenant;
  r.options.max_tokens = 0;
  r.options.plan.embedding = pooling == "mean" ? Pooling::kMean : Pooling::kLast;
  Result<std::vector<Request>> requests = make_requests(context, r, inputs);
  if (!requests.ok()) {
    ApiError error = api_error_of(requests.status());
    error.param = "input";
    return call.refuse(error);
  }
  Exchange::begin(context.exchange, std::move(requests).value(), inputs.size(), false,
                  call.in_dialect(std::make_unique<EmbeddingFormat>(
                                      context.served, format == "base64", unit, inputs.size()),
                                  0),
                  call.reply);
}

}  // namespace looplm
