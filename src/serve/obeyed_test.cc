// What a request or an operator asks for happens.
#include <future>

#include "looplm/generate.h"

#include "model/adapter.h"
#include "serve/api_error.h"
#include "serve/test_server.h"
#include "support/temp_dir.h"

namespace looplm {
namespace {

using std::chrono::milliseconds;

int64_t cached(const OrderedJson& answer) {
  return answer["usage"]["prompt_tokens_details"]["cached_tokens"].get<int64_t>();
}

std::string long_prompt() {
  std::string prompt;
  for (int i = 0; i < 50; ++i) prompt += "7-2*3=5;";
  return prompt;
}

class ObeyedTest : public ServerTest {
 protected:
  std::string text_of(const OrderedJson& body) const {
    return complete(body)["choices"][0]["text"];
  }
  // Fills all memory, so that others wait: two at a time, of ten.
  std::future<OrderedJson> occupy() {
    ServeOptions options;
    options.engine.kv_bytes = uint64_t{600} << 10;
    options.ping_every = milliseconds(5);
    start(options);
    auto busy = std::async(std::launch::async, [this] {
      return complete({{"prompt", "oak"}, {"n", 10}, {"max_tokens", 4096}, {"ignore_eos", true}});
    });
    EXPECT_TRUE(comes_true([&] { return metric("looplm_requests_waiting") > 0; }));
    return busy;
  }
};

TEST_F(ObeyedTest, KeysKeepTheirCachedPromptsApart) {
  for (const bool share : {false, true}) {
    ServeOptions options;
    options.api_keys = {"a", "b"};
    options.share_prefixes_between_keys = share;
    start(options);
    const OrderedJson message = {{"role", "user"}, {"content", long_prompt()}};
    for (const auto& [path, body] : std::vector<std::pair<std::string, OrderedJson>>{
             {"/v1/completions", {{"prompt", long_prompt()}, {"max_tokens", 1}}},
             {"/v1/chat/completions",
              {{"messages", OrderedJson::array({message})}, {"max_tokens", 1}}}}) {
      const auto found = [&, &path = path, &body = body](const char* key) {
        const HttpResponse r =
            send("POST", path, body.dump(), {{"Authorization", std::string("Bearer ") + key}});
        EXPECT_EQ(r.status, 200) << r.body;
        return cached(OrderedJson::parse(r.body));
      };
      EXPECT_EQ(found("a"), 0) << path;
      EXPECT_GT(found("a"), 300) << path;
      EXPECT_EQ(found("b") > 300, share) << path;
    }
  }
}

TEST_F(ObeyedTest, CachedTokensAreThoseOfThePromptWhateverTheChoices) {
  start();
  OrderedJson body = {{"prompt", long_prompt()}, {"max_tokens", 1}};
  complete(body);
  const int64_t once = cached(complete(body));
  body["n"] = 4;
  EXPECT_EQ(cached(complete(body)), once);
}

TEST_F(ObeyedTest, ARequestsOwnTimeIsHeld) {
  start();
  const OrderedJson error = post(
      "/v1/completions",
      {{"prompt", "oak"}, {"n", 128}, {"max_tokens", 400}, {"ignore_eos", true}, {"timeout", 0.3}},
      408)["error"];
  EXPECT_EQ(error["code"], "timeout");
}

TEST_F(ObeyedTest, TheOperatorsLimitOfTokensIsHeld) {
  ServeOptions options;
  options.max_tokens = 5;
  start(options);
  const OrderedJson answer =
      complete({{"prompt", "oak"}, {"max_tokens", 50}, {"ignore_eos", true}});
  EXPECT_EQ(answer["usage"]["completion_tokens"], 5);
  EXPECT_EQ(answer["choices"][0]["finish_reason"], "length");
}

TEST_F(ObeyedTest, UrgentRequestsComeFirst) {
  std::future<OrderedJson> busy = occupy();
  const OrderedJson answer =
      complete({{"prompt", "oak"}, {"max_tokens", 50}, {"ignore_eos", true}, {"priority", -5}});
  EXPECT_EQ(answer["usage"]["completion_tokens"], 50);
  EXPECT_EQ(busy.wait_for(milliseconds(0)), std::future_status::timeout);  // it came later
  busy.get();
}

TEST_F(ObeyedTest, AStreamThatWaitsIsPinged) {
  std::future<OrderedJson> busy = occupy();
  const HttpResponse response =
      send("POST", "/v1/completions", R"({"prompt":"oak","max_tokens":2,"stream":true})");
  EXPECT_TRUE(response.body.starts_with(":")) << response.body;
  EXPECT_TRUE(response.body.ends_with("data: [DONE]\n\n")) << response.body;
  busy.get();
}

TEST_F(ObeyedTest, PenaltiesAndStopsByIdChangeTheText) {
  start();
  OrderedJson body = {
      {"prompt", "oak tree: a tree"}, {"max_tokens", 40}, {"temperature", 0}, {"ignore_eos", true}};
  const std::string plain = text_of(body);
  for (const char* name : {"presence_penalty", "frequency_penalty", "repetition_penalty"}) {
    OrderedJson other = body;
    other[name] = 2;
    EXPECT_NE(text_of(other), plain) << name;
  }
  const std::vector<int32_t> ids =
      model_->tokenizer()->encode(plain, {.as = EncodeAs::kContinuation}).value();
  body["stop_token_ids"] = {ids[3]};
  EXPECT_LT(text_of(body).size(), plain.size());
}

TEST_F(ObeyedTest, NoTokenLeavesBeforeItsLeastLoop) {
  start();
  const auto exits = [&](const OrderedJson& loop) {
    return complete({{"prompt", "oak tree"},
                     {"max_tokens", 30},
                     {"seed", 1},
                     {"ignore_eos", true},
                     {"loop", loop}})["usage"]["loop"]["exits"];
  };
  EXPECT_TRUE(exits({{"threshold", 0.01}}).contains("1"));
  const OrderedJson later = exits({{"threshold", 0.01}, {"min_loops", 3}});
  EXPECT_FALSE(later.empty());
  for (const auto& [loop, count] : later.items()) {
    EXPECT_GE(std::stoi(loop), 3);
  }
}

// A template that the model does not bring itself, as an adapter may, or ChatML in place of none.
TEST_F(ObeyedTest, TheEndOfTheServedTemplatesTurnEndsAnAnswer) {
  ServeOptions options;
  options.model_name = "chat";
  options.http.port = 0;
  server_ = Server::listen(options).value();
  model_ = Model::load("models/chat", {.threads = 1}).value();
  ChatFiles files;
  files.templates = {{"default", "{% for m in messages %}{{ m.content }}<|user|>{% endfor %}"}};
  ServedModelOptions served;
  served.chat = std::make_shared<const ChatTemplate>(
      ChatTemplate::create(files, *model_->tokenizer()).value());
  ASSERT_OK(server_->serve(*model_, served));
  const std::string end = std::to_string(*model_->tokenizer()->id_of("<|user|>"));
  OrderedJson message = {{"role", "user"}, {"content", "3 + 4?"}};
  OrderedJson body = {{"messages", OrderedJson::array({std::move(message)})},
                      {"max_tokens", 5},
                      {"logit_bias", {{end, 100}}}};
  const OrderedJson answer = post("/v1/chat/completions", body);
  EXPECT_EQ(answer["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(answer["usage"]["completion_tokens"], 1);
  body["ignore_eos"] = true;
  EXPECT_EQ(post("/v1/chat/completions", body)["usage"]["completion_tokens"], 5);
}

TEST_F(ObeyedTest, KeysAndValuesAreKeptAsAsked) {
  start();
  const OrderedJson body = {
      {"prompt", "oak tree: a tree"}, {"max_tokens", 60}, {"temperature", 0}, {"ignore_eos", true}};
  OrderedJson last = body;
  last["loop"] = {{"kv", "last"}};
  GenerateOptions options;
  options.max_tokens = 60;
  options.ignore_eos = true;
  options.kv = KvPolicy::kLast;
  const std::unique_ptr<Model> alone = Model::load(kModel).value();
  const auto ids = alone->tokenizer()->encode("oak tree: a tree").value();
  EXPECT_EQ(text_of(last), generate(*alone, ids, options).value().text);
  EXPECT_NE(text_of(last), text_of(body));
}

TEST_F(ObeyedTest, ASeedOfMinusOneIsDrawn) {
  start();
  const OrderedJson body = {{"prompt", "1+1="}, {"max_tokens", 1}, {"seed", -1}};
  const OrderedJson first = complete(body)["seed"];
  EXPECT_NE(complete(body)["seed"], first);
  EXPECT_GE(first, 0);
}

TEST_F(ObeyedTest, EveryFormOfAGrammarHoldsOrIsRefused) {
  start();
  const OrderedJson schema = {{"enum", {"only"}}};
  for (const OrderedJson& guide :
       std::vector<OrderedJson>{{{"json", schema}},
                                {{"json", schema.dump()}},
                                {{"regex", "\"only\""}},
                                {{"choice", {"\"only\""}}},
                                {{"grammar", "root ::= \"\\\"only\\\"\""}}}) {
    EXPECT_EQ(text_of({{"prompt", "1"}, {"max_tokens", 50}, {"structured_outputs", guide}}),
              "\"only\"")
        << guide;
  }
  EXPECT_EQ(text_of({{"prompt", "1"}, {"max_tokens", 50}, {"guided_json", schema.dump()}}),
            "\"only\"");
  for (const OrderedJson& wrong : std::vector<OrderedJson>{
           {{"structured_outputs", OrderedJson::object()}},
           {{"structured_outputs", {{"structural_tag", "x"}}}},
           {{"structured_outputs", {{"json", schema}, {"whitespace_pattern", " ?"}}}},
           {{"structured_outputs", {{"json", schema}, {"regex", "a"}}}},
           {{"guided_choice", OrderedJson::array()}},
           {{"guided_choice", OrderedJson::object()}},
           {{"guided_json", "{"}},
           {{"structured_outputs", {{"json", ""}}}},
           {{"response_format", {{"type", "json_schema"}, {"schema", ""}}}},
           {{"guided_json", {{"$ref", "#/" + std::string(900'000, 'a')}}}},
           {{"grammar", "root ::= " + std::string(900'000, 'a')}},
           {{std::string("loop"), {{std::string(900'000, 'a'), 1}}}},
           {{"response_format", {{"type", ""}}}}}) {
    OrderedJson body = {{"prompt", "1"}, {"max_tokens", 5}};
    body.update(wrong);
    const OrderedJson error = post("/v1/completions", body, 400)["error"];
    EXPECT_LT(error.dump().size(), 4'000u);
    EXPECT_THAT(error["param"].get<std::string>(), testing::StartsWith(wrong.begin().key()));
  }
  // An empty text is none.
  for (const char* name : {"grammar", "regex", "json_schema", "guided_grammar", "guided_regex",
                           "guided_json", "/loop/exit", "/loop/kv", "/loop/read_out"}) {
    OrderedJson body = {{"prompt", "1"}, {"max_tokens", 1}};
    const std::string at = name[0] == '/' ? name : std::string("/") + name;
    body[OrderedJson::json_pointer(at)] = "";
    EXPECT_EQ(send("POST", "/v1/completions", body.dump()).status, 200) << name;
  }
  const OrderedJson broken = post(
      "/v1/completions", {{"prompt", "1"}, {"max_tokens", 1}, {"guided_json", "{"}}, 400)["error"];
  EXPECT_THAT(broken["message"].get<std::string>(),
              testing::StartsWith("'guided_json' cannot be read as a schema: not valid JSON at"));
  const OrderedJson one_value =
      post("/v1/chat/completions",
           {{"messages", OrderedJson::array({{{"role", "user"}, {"content", "x"}}})},
            {"tool_choice", {{"type", "magic"}}}},
           400)["error"];
  EXPECT_EQ(one_value["message"],
            "'tool_choice.type' is 'magic'; expected one of function, allowed_tools");
}

TEST(ApiError, ShowsBothEndsOfLongWords) {
  const ApiError kept = {
      .status = 404, .message = std::string(1'200, 'a'), .param = "p", .code = "c"};
  EXPECT_EQ(kept.bounded().json(), kept.json());
  EXPECT_EQ(kept.bounded().status, 404);
  std::string umlauts = "'";
  for (int i = 0; i < 1'000; ++i) umlauts += "\u00e4";
  const std::string shown = ApiError{.message = umlauts + "!"}.bounded().message;
  EXPECT_EQ(shown.size(), 799 + 5 + 399u);
  EXPECT_THAT(shown, testing::StartsWith("'\u00e4"));
  EXPECT_THAT(shown, testing::HasSubstr("\u00e4 ... \u00e4"));
  EXPECT_THAT(shown, testing::EndsWith("\u00e4!"));
}

// An adapter may have another template, and with it another form of calls.
TEST_F(ObeyedTest, CallsHaveTheFormOfTheModelThatIsAsked) {
  start();
  server_ = nullptr;
  const TempDir directory;
  const AdapterSettings settings = {.rank = 1, .alpha = 1, .targets = {}};
  const ParameterSet values(adapter_specs(model_->config(), settings));
  ASSERT_OK(save_adapter(directory.file("other"), settings, values, kModel));
  ASSERT_OK(model_->add_adapter("other", directory.file("other")));
  const auto chat = [&](const char* source) {
    ChatFiles files;
    files.templates = {{"default", source}};
    return std::make_shared<const ChatTemplate>(
        ChatTemplate::create(files, *model_->tokenizer()).value());
  };
  ServeOptions options;
  options.model_name = "small";
  options.http.port = 0;
  server_ = Server::listen(options).value();
  ServedModelOptions served;
  served.chat = chat("{{ messages[0].content }}{{ tools }}<tool_call>");
  served.adapters = {{"other", chat("{{ messages[0].content }}{{ tools }}[TOOL_CALLS]")}};
  ASSERT_OK(server_->serve(*model_, served));
  OrderedJson body = {{"messages", OrderedJson::array({{{"role", "user"}, {"content", "x"}}})},
                      {"tools", {{{"type", "function"}, {"function", {{"name", "f"}}}}}},
                      {"tool_choice", "required"},
                      {"parallel_tool_calls", false},
                      {"max_tokens", 100}};
  for (const char* name : {"small", "other", "small"}) {
    body["model"] = name;
    const OrderedJson message = post("/v1/chat/completions", body)["choices"][0]["message"];
    EXPECT_EQ(message["tool_calls"][0]["function"]["name"], "f") << name << message;
  }
  server_ = nullptr;
}

}  // namespace
}  // namespace looplm
