#include <atomic>
#include <filesystem>
#include <future>
#include <mutex>
#include <thread>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <fmt/format.h>
#include <gmock/gmock.h>

#include "looplm/generate.h"

#include "model/checkpoint.h"
#include "model/parameter_set.h"
#include "serve/test_server.h"

namespace looplm {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

TEST_F(ServerTest, CompletesAsTheEngineAloneDoes) {
  start();
  const OrderedJson answer = complete(
      {{"prompt", "4+8-3*7-6+2="}, {"max_tokens", 6}, {"temperature", 0}, {"ignore_eos", true}});
  EXPECT_EQ(answer["object"], "text_completion");
  EXPECT_EQ(answer["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(answer["usage"]["completion_tokens"], 6);
  GenerateOptions options;
  options.max_tokens = 6;
  options.ignore_eos = true;
  const std::unique_ptr<Model> alone = Model::load(kModel).value();
  const auto ids = alone->tokenizer()->encode("4+8-3*7-6+2=").value();
  EXPECT_EQ(answer["usage"]["prompt_tokens"], ids.size());
  EXPECT_EQ(answer["choices"][0]["text"], generate(*alone, ids, options).value().text);
}

TEST_F(ServerTest, StreamsWhatItWouldSendWhole) {
  start();
  for (const OrderedJson& body : std::vector<OrderedJson>{
           {{"prompt", "oak tree: a tree"}, {"max_tokens", 40}, {"seed", 7}, {"ignore_eos", true}},
           {{"prompt", "oak tree: a tree"}, {"max_tokens", 40}, {"seed", 8}, {"stop", {"e", "th"}}},
           {{"prompt", "oak tree: a tree"},
            {"max_tokens", 12},
            {"temperature", 0},
            {"stop", "zzzz"}},
           {{"prompt", {"7-2*3=", "entity: that"}}, {"max_tokens", 9}, {"n", 2}, {"seed", 5}},
           {{"prompt", "7-2*3="}, {"max_tokens", 5}, {"echo", true}, {"seed", 3}},
           {{"prompt", "7-2*3="},
            {"max_tokens", 5},
            {"echo", true},
            {"logprobs", 2},
            {"seed", 3}}}) {
    const OrderedJson whole = complete(body);
    OrderedJson with_usage = body;
    with_usage["stream_options"] = {{"include_usage", true}};
    const std::vector<OrderedJson> events = stream("/v1/completions", with_usage);
    std::vector<std::string> texts(whole["choices"].size());
    std::vector<std::string> reasons(texts.size());
    for (const OrderedJson& event : events) {
      for (const OrderedJson& choice : event["choices"]) {
        const auto index = choice["index"].get<size_t>();
        texts[index] += choice["text"].get<std::string>();
        if (!choice["finish_reason"].is_null()) reasons[index] = choice["finish_reason"];
      }
    }
    for (size_t i = 0; i < texts.size(); ++i) {
      EXPECT_EQ(texts[i], whole["choices"][i]["text"]) << body;
      EXPECT_EQ(reasons[i], whole["choices"][i]["finish_reason"]) << body;
    }
    EXPECT_EQ(events.back()["usage"]["completion_tokens"], whole["usage"]["completion_tokens"]);
    EXPECT_EQ(events.back()["choices"], OrderedJson::array());
  }
}

TEST_F(ServerTest, UsageCountsEveryChoiceAndExitsSumToTokens) {
  start();
  const OrderedJson answer = complete({{"prompt", {"9*0+5=", "4+8-3*7-6+2="}},
                                       {"n", 3},
                                       {"max_tokens", 4},
                                       {"ignore_eos", true},
                                       {"loop", {{"exit", "q"}, {"threshold", 0.3}}}});
  const OrderedJson& usage = answer["usage"];
  EXPECT_EQ(usage["completion_tokens"], 2 * 3 * 4);
  EXPECT_EQ(usage["total_tokens"],
            usage["prompt_tokens"].get<int64_t>() + usage["completion_tokens"].get<int64_t>());
  int64_t tokens = 0;
  int64_t loops = 0;
  for (const auto& [loop, count] : usage["loop"]["exits"].items()) {
    tokens += count.get<int64_t>();
    loops += count.get<int64_t>() * std::stoll(loop);
  }
  EXPECT_EQ(tokens, usage["completion_tokens"]);
  EXPECT_EQ(loops, usage["loop"]["loops"]);
  EXPECT_LT(usage["loop"]["mean_depth"].get<double>(), 4);
  EXPECT_GT(usage["loop"]["passes"].get<int64_t>(), 0);
}

TEST_F(ServerTest, DepthIsABudgetThatTuningHasMeasured) {
  ServeOptions options;
  options.model_name = "small";
  options.http.port = 0;
  server_ = Server::listen(options).value();
  model_ = Model::load(kModel, {.threads = 1}).value();
  TunedDepth sums;
  sums.task = "sums";
  sums.loops = 4;
  sums.threshold = 0.3;
  sums.mean_loops = 2;
  sums.curve = {{0.1, 1.5}, {0.9, 3.5}};
  TunedDepth words = sums;
  words.task = "words";
  words.threshold = 0.9;
  ServedModelOptions served;
  served.tuned = {sums, words};
  ASSERT_OK(server_->serve(*model_, served));
  const auto answer = [&](const OrderedJson& loop) {
    OrderedJson body = {
        {"prompt", "4+8-3*7-6+2="}, {"max_tokens", 24}, {"ignore_eos", true}, {"seed", 5}};
    if (!loop.is_null()) body["loop"] = loop;
    const OrderedJson all = complete(body);
    return std::pair(all["choices"][0]["text"], all["usage"]["loop"]["exits"]);
  };
  const auto rule = [&](double threshold) {
    return answer({{"exit", "q"}, {"threshold", threshold}});
  };
  EXPECT_EQ(answer(nullptr), rule(0.3));  // what was tuned last
  EXPECT_EQ(answer({{"per_token", false}}), rule(0.3));
  EXPECT_EQ(answer({{"class", "words"}}), rule(0.9));
  EXPECT_EQ(answer({{"target_depth", 1.5}}), rule(0.1));
  EXPECT_EQ(answer({{"target_depth", 2.5}, {"class", "words"}}), rule(0.5));
  EXPECT_EQ(answer({{"exit", "fixed"}}).second, (OrderedJson{{"4", 24}}));
  EXPECT_EQ(answer({{"max_loops", 2}}).second, (OrderedJson{{"2", 24}}));
  const auto refusal = [&](const OrderedJson& loop) {
    return post("/v1/completions", {{"prompt", "1"}, {"loop", loop}}, 400)["error"]["message"]
        .get<std::string>();
  };
  EXPECT_THAT(refusal({{"target_depth", 3.75}}),
              HasSubstr("'sums' was measured from 1.50 to 3.50"));
  EXPECT_THAT(refusal({{"class", "poems"}}), HasSubstr("tuned on sums, words"));
  EXPECT_THAT(refusal({{"target_depth", 2}, {"exit", "fixed"}}),
              HasSubstr("both choose the threshold"));
}

TEST_F(ServerTest, SeedsAreReportedAndRepeat) {
  start();
  const OrderedJson body = {
      {"prompt", "oak tree: a"}, {"max_tokens", 20}, {"n", 2}, {"ignore_eos", true}};
  const OrderedJson first = complete(body);
  OrderedJson again = body;
  again["seed"] = first["seed"];
  const OrderedJson second = complete(again);
  EXPECT_EQ(first["choices"][0]["text"], second["choices"][0]["text"]);
  EXPECT_EQ(first["choices"][1]["text"], second["choices"][1]["text"]);
  EXPECT_NE(first["choices"][0]["text"], first["choices"][1]["text"]);
  for (const char* seed : {"18446744073709551615", "-9223372036854775808", "9223372036854775808"}) {
    const HttpResponse r =
        send("POST", "/v1/completions",
             fmt::format(R"({{"prompt":"1+1=","max_tokens":1,"seed":{}}})", seed));
    EXPECT_EQ(r.status, 200) << r.body;
  }
}

TEST_F(ServerTest, EchoGivesThePromptsLogProbabilities) {
  start();
  const OrderedJson answer = complete({{"prompt", "7-2*3=5"},
                                       {"max_tokens", 1},
                                       {"logprobs", 1},
                                       {"echo", true},
                                       {"temperature", 0}});
  const OrderedJson& logprobs = answer["choices"][0]["logprobs"];
  const auto prompt = answer["usage"]["prompt_tokens"].get<size_t>();
  const size_t all = prompt + answer["usage"]["completion_tokens"].get<size_t>();
  ASSERT_EQ(logprobs["token_logprobs"].size(), all);
  ASSERT_EQ(logprobs["tokens"].size(), all);
  ASSERT_EQ(logprobs["text_offset"].size(), all);
  EXPECT_TRUE(logprobs["token_logprobs"][0].is_null());
  for (size_t i = 1; i < all; ++i) {
    const double value = logprobs["token_logprobs"][i];
    EXPECT_LE(value, 0);
    double best = -1e30;
    for (const auto& [token, p] : logprobs["top_logprobs"][i].items())
      best = std::max(best, p.get<double>());
    EXPECT_GE(best, value);
  }
  // "5" after "7-2*3=": the bundled model is sure.
  EXPECT_GT(logprobs["token_logprobs"][prompt - 1].get<double>(), -0.1);
  // The same alone, generated.
  const OrderedJson generated =
      complete({{"prompt", "7-2*3="}, {"max_tokens", 1}, {"logprobs", 1}, {"temperature", 0}});
  EXPECT_EQ(generated["choices"][0]["logprobs"]["token_logprobs"][0],
            logprobs["token_logprobs"][prompt - 1]);
  const OrderedJson none =
      complete({{"prompt", "7-2*3=5"}, {"max_tokens", 0}, {"logprobs", 1}, {"echo", true}});
  EXPECT_EQ(none["choices"][0]["logprobs"]["token_logprobs"].size(), prompt);
  EXPECT_EQ(none["choices"][0]["text"], "7-2*3=5");
}

TEST_F(ServerTest, WholeNumbersMayHaveAPoint) {
  start();
  const auto ids = model_->tokenizer()->encode("7-2*3=").value();
  OrderedJson body = {{"prompt", ids}, {"seed", 41}, {"max_tokens", 4}, {"ignore_eos", true}};
  const OrderedJson whole = complete(body);
  body["prompt"] = std::vector<double>(ids.begin(), ids.end());
  body["seed"] = 41.0;
  body["max_tokens"] = 4.0;
  EXPECT_EQ(complete(body)["choices"][0]["text"], whole["choices"][0]["text"]);
  body["seed"] = 0x1p64;
  EXPECT_THAT(post("/v1/completions", body, 400).dump(), HasSubstr("'seed' is"));
  EXPECT_EQ(send("POST", "/v1/completions", R"({"prompt":"1","seed":-9223372036854775809})").status,
            400);
  body["seed"] = 1;
  body["prompt"] = {1.5};
  EXPECT_THAT(post("/v1/completions", body, 400).dump(), HasSubstr("'prompt' holds 1.5"));
}

TEST_F(ServerTest, TheDescriptionHasWhatIsServed) {
  start();
  const OrderedJson description = OrderedJson::parse(send("GET", "/openapi.json").body);
  for (const auto& [path, operations] : description["paths"].items()) {
    for (const auto& [method, operation] : operations.items()) {
      const int status =
          send(method == "get" ? "GET" : "POST",
               path.ends_with("{model}") ? "/v1/models/small" : path, R"({"model":"small"})")
              .status;
      EXPECT_TRUE(status != 404 && status != 405) << method << " " << path << ": " << status;
    }
  }
  const OrderedJson& paths = description["paths"];
  for (const auto& [route, method] : server_->routes()) {
    std::string path = route.ends_with("/") && route.size() > 1 ? route + "{model}" : route;
    if (paths.contains("/v1" + path)) path = "/v1" + path;  // the same without its /v1
    EXPECT_TRUE(paths.contains(path) && paths[path].contains(method == "GET" ? "get" : "post"))
        << method << " " << route << " is not described";
  }
  const OrderedJson& id =
      description["components"]["schemas"]["DetokenizeRequest"]["properties"]["tokens"]["items"];
  EXPECT_EQ(id["maximum"], model_->config().vocab_size - 1);
}

TEST_F(ServerTest, EveryEventTellsTheTokensSoFarOnDemand) {
  start();
  const std::vector<OrderedJson> events =
      stream("/v1/completions",
             {{"prompt", "1+1="},
              {"max_tokens", 5},
              {"n", 2},
              {"ignore_eos", true},
              {"stream_options", {{"include_usage", true}, {"continuous_usage_stats", true}}}});
  const int64_t prompt = events.back()["usage"]["prompt_tokens"];
  int64_t before = 0;
  for (const OrderedJson& event : events) {
    const OrderedJson& usage = event["usage"];
    EXPECT_EQ(usage["prompt_tokens"], prompt);
    EXPECT_GE(usage["completion_tokens"].get<int64_t>(), before);
    before = usage["completion_tokens"];
    EXPECT_EQ(usage["total_tokens"], prompt + before);
  }
  EXPECT_GT(events[events.size() / 2]["usage"]["completion_tokens"].get<int64_t>(), 0);
  EXPECT_EQ(before, 10);
}

TEST_F(ServerTest, PerTokenDetailsAreTheWholeDepthCurve) {
  start();
  const OrderedJson answer = complete({{"prompt", "7-2*3="},
                                       {"max_tokens", 2},
                                       {"temperature", 0},
                                       {"ignore_eos", true},
                                       {"loop", {{"per_token", true}}}});
  const OrderedJson& tokens = answer["choices"][0]["loop"]["tokens"];
  ASSERT_EQ(tokens.size(), 2u);
  for (const OrderedJson& token : tokens) {
    ASSERT_EQ(token["loops"].size(), 4u);
    double sum = 0;
    for (const OrderedJson& p : token["exit_probabilities"]) sum += p.get<double>();
    EXPECT_NEAR(sum, 1, 1e-6);
    EXPECT_EQ(token["loops"][3]["token"], token["token"]);
  }
}

TEST_F(ServerTest, ProposalsAreStreamedWithTheirRevisions) {
  start();
  const std::vector<OrderedJson> events =
      stream("/v1/completions", {{"prompt", "entity: that which"},
                                 {"max_tokens", 20},
                                 {"temperature", 0},
                                 {"ignore_eos", true},
                                 {"loop", {{"speculate", "loop:1"}, {"provisional", true}}}});
  int proposals = 0;
  int revisions = 0;
  for (const OrderedJson& event : events) {
    if (!event.contains("loop")) continue;
    ++proposals;
    revisions += event["loop"]["provisional"]["revision"].get<bool>() ? 1 : 0;
  }
  EXPECT_GT(proposals, 20);
  EXPECT_GT(revisions, 0);
}

TEST_F(ServerTest, AnswersObeyTheirGrammar) {
  start();
  const OrderedJson answer = complete({{"prompt", "7-2*3="},
                                       {"max_tokens", 60},
                                       {"seed", 3},
                                       {"temperature", 1.5},
                                       {"n", 4},
                                       {"grammar", "root ::= [0-3]{3} \"-\" [a-c]+ \"!\""}});
  for (const OrderedJson& choice : answer["choices"]) {
    const auto text = choice["text"].get<std::string>();
    ASSERT_GE(text.size(), 4u);
    EXPECT_EQ(text.find_first_not_of("0123"), 3u) << text;
    EXPECT_EQ(text[3], '-');
  }
  for (const char* speculate : {"loop:1", "margin:0.3", "loop:2"}) {
    OrderedJson body = {{"prompt", "7-2*3="},
                        {"max_tokens", 30},
                        {"temperature", 0},
                        {"regex", "[0-9]{2,8}(,[0-9]{2})*;"}};
    const OrderedJson plain = complete(body);
    body["loop"] = {{"speculate", speculate}};
    EXPECT_EQ(complete(body)["choices"][0]["text"], plain["choices"][0]["text"]) << speculate;
  }
}

TEST_F(ServerTest, TheSchemaMayStandBesideItsType) {
  start();
  const OrderedJson schema = {{"enum", {"yes", "no"}}};
  for (const char* type : {"json_schema", "json_object"}) {
    const OrderedJson answer =
        complete({{"prompt", "1"}, {"response_format", {{"type", type}, {"schema", schema}}}});
    EXPECT_THAT(answer["choices"][0]["text"].get<std::string>(),
                testing::AnyOf("\"yes\"", "\"no\""));
  }
}

TEST_F(ServerTest, HardGrammarsAreObeyedInTime) {
  start();
  // Thousands of readings at once.
  std::string words;
  for (int i = 0; i < 5000; ++i) words += (i == 0 ? "w" : "|w") + std::to_string(i);
  OrderedJson body = {{"prompt", "7-2*3="}, {"max_tokens", 12}, {"seed", 3}, {"regex", words}};
  EXPECT_TRUE(complete(body)["choices"][0]["text"].get<std::string>().starts_with("w"));
  // Rules that are defined from the last to the first.
  std::string chain;
  for (int i = 0; i < 20'000; ++i) chain += fmt::format("r{} ::= r{}\n", i, i + 1);
  body.erase("regex");
  body["grammar"] = chain + "r20000 ::= \"a\"\nroot ::= r0";
  EXPECT_EQ(complete(body)["choices"][0]["text"], "a");
  // Impossible tokens have a finite log-probability.
  body["grammar"] = "root ::= \"zq\"";
  body["logprobs"] = 20;
  const OrderedJson answer = complete(body);
  for (const OrderedJson& value : answer["choices"][0]["logprobs"]["token_logprobs"]) {
    EXPECT_TRUE(value.is_number()) << answer;
  }
}

TEST_F(ServerTest, WrongRequestsAreNamed) {
  start();
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"({)", "not valid JSON"},
      {R"([1])", "expected an object"},
      {R"({"max_tokens":1})", "'prompt' is missing"},
      {R"({"prompt":"1","max_tokens":-1})", "'max_tokens' is -1"},
      {R"({"prompt":"1","max_tokens":1.5})", "'max_tokens' is 1.5"},
      {R"({"prompt":"1","temperature":-0.1})", "'temperature' is -0.1"},
      {R"({"prompt":"1","temperature":"hot"})", "'temperature' is \"hot\""},
      {R"({"prompt":"1","temperature":NaN})", "not valid JSON"},
      {R"({"prompt":"1","temperature":2.1})", "'temperature' is 2.1"},
      {R"({"prompt":"1","presence_penalty":2.5})", "'presence_penalty' is 2.5"},
      {R"({"prompt":"1","model":5})", "'model' is 5"},
      {R"({"prompt":"1","mirostat":2})", "'mirostat' is not supported"},
      {R"({"prompt":"1","min_tokens":5})", "'min_tokens' is not supported"},
      {R"({"prompt":"1","allowed_token_ids":[1]})", "'allowed_token_ids' is not supported"},
      {R"({"prompt":"1","messages":[{"role":"user"}]})", "'messages' is not supported"},
      {R"({"prompt":"1","loop":{"treshold":0.5}})", "'loop.treshold' is unknown"},
      {R"({"prompt":"1","loop":{"target_depth":2}})", "'loop.target_depth' needs a model that"},
      {R"({"prompt":"1","loop":{"exit":"q","threshold":2}})", "'loop.threshold': the threshold"},
      {R"({"prompt":"1","loop":{"speculate":"loop:4","max_loops":2}})", "'loop': "},
      {R"({"prompt":["1","1","1","1","1","1","1","1","1","1","1","1","1","1","1","1","1","1","1","1","1","1","1","1","1","1","1","1","1","1","1","1","1"],"n":128})",
       "4224 generations"},
      {R"({"prompt":"1","top_p":1.1})", "'top_p' is 1.1"},
      {R"({"prompt":"1","n":0})", "'n' is 0"},
      {R"({"prompt":"1","n":100000000000000000000})", "'n' is"},
      {R"({"prompt":"1","seed":1.5})", "'seed' is 1.5"},
      {R"({"prompt":"1","seed":18446744073709551616})", "'seed' is"},
      {R"({"prompt":[]})", "'prompt' is []"},
      {R"({"prompt":""})", "'prompt' is empty"},
      {R"({"prompt":[1,-1]})", "'prompt' holds -1"},
      {R"({"prompt":[1,99999999]})", "'prompt' holds 99999999"},
      {R"({"prompt":[[1],"x",{}]})", "'prompt'"},
      {R"({"prompt":"1","logprobs":99})", "'logprobs' is 99"},
      {R"({"prompt":"1","stop":[""]})", "'stop' holds an empty text"},
      {R"({"prompt":"1","stop":7})", "'stop' is 7"},
      {R"({"prompt":"1","logit_bias":{"x":1}})", "'logit_bias' has the key 'x'"},
      {R"({"prompt":"1","logit_bias":{"1":1000}})", "'logit_bias' of token 1 is 1000"},
      {R"({"prompt":"1","suffix":"x"})", "'suffix' is not supported"},
      {R"({"prompt":"1","best_of":3})", "'best_of' differs"},
      {R"({"prompt":"1","stream_options":{"include_usage":true}})", "'stream_options' needs"},
      {R"({"prompt":"1","loop":{"max_loops":0}})", "'loop.max_loops' is 0"},
      {R"({"prompt":"1","loop":{"min_loops":9}})", "'loop.min_loops' is 9"},
      {R"({"prompt":"1","loop":{"exit":"gut"}})", "'loop.exit' is \"gut\""},
      {R"({"prompt":"1","loop":{"exit":"q"}})", "'loop.threshold' is missing"},
      {R"({"prompt":"1","loop":{"kv":"some"}})", "'loop.kv' is 'some'"},
      {R"({"prompt":"1","loop":{"speculate":"loup"}})", "'loop.speculate' is 'loup'"},
      {R"({"prompt":"1","grammar":"root ::= \"a\"","regex":"a"})",
       "both say what the answer may be"},
      {R"({"prompt":"1","response_format":{"type":"json_schema","json_schema":{"schema":{"type":"string","minLength":5,"maxLength":2}}}})",
       "minLength is 5 and maxLength is 2"},
      {R"({"prompt":"1","response_format":{"type":"xml"}})", "'response_format.type' is 'xml'"},
      {R"({"prompt":"1","regex":"^a{3,1}$"})", "at least 3 and at most 1"},
      {R"({"prompt":"1","max_tokens":0})", "nothing is echoed"},
      {R"({"prompt":"1","prompt":"2"})", "given twice"},
  };
  for (const auto& [body, message] : cases) {
    const HttpResponse r = send("POST", "/v1/completions", body);
    EXPECT_EQ(r.status, 400) << body;
    const OrderedJson error = OrderedJson::parse(r.body)["error"];
    EXPECT_THAT(error["message"].get<std::string>(), HasSubstr(message)) << body;
    EXPECT_EQ(error["type"], "invalid_request_error");
  }
  EXPECT_EQ(send("POST", "/v1/completions", std::string(100'000, '[')).status, 400);
  for (const char* path : {"/v1/completions", "/v1/chat/completions", "/api/chat", "/api/generate"})
    EXPECT_THAT(send("POST", path, "null").body, HasSubstr("the request is null"));
  // What loads a model is a request too.
  for (const char* path : {"/api/chat", "/api/generate"}) {
    EXPECT_THAT(send("POST", path, R"({"loop":{"provisional":{}}})").body, HasSubstr("'loop."));
    EXPECT_EQ(send("POST", path, "{}").status, 200);
  }
  const auto context = model_->config().max_positions;
  const HttpResponse long_prompt =
      send("POST", "/v1/completions",
           OrderedJson{{"prompt", std::string(static_cast<size_t>(context) + 5, '1')}}.dump());
  EXPECT_EQ(long_prompt.status, 400);
  EXPECT_THAT(long_prompt.body, HasSubstr(fmt::format("the context {}", context)));
  EXPECT_EQ(send("GET", "/v1/completions").header("allow"), "POST, OPTIONS");
  EXPECT_EQ(send("GET", "/v1/completions").status, 405);
  EXPECT_EQ(send("OPTIONS", "/v1/models").status, 204);
  for (const char* path : {"/v1/models", "/v1/models/small", "/models/small"}) {
    EXPECT_EQ(send("OPTIONS", path).header("allow"), "GET, HEAD, OPTIONS") << path;
  }
  EXPECT_EQ(send("POST", "/v1/completions", "x", {{"Content-Encoding", "gzip"}}).status, 415);
  for (const char* path : {"/v1/completions", "/v1/embeddings"}) {
    const OrderedJson error =
        post(path, {{"model", "gpt-5"}, {"prompt", "1"}, {"input", "1"}}, 404)["error"];
    EXPECT_EQ(error["code"], "model_not_found");
    EXPECT_EQ(error["param"], "model");
  }
  EXPECT_EQ(OrderedJson::parse(send("GET", "/v1/models/gpt-5").body)["error"]["code"],
            "model_not_found");
  EXPECT_EQ(send("POST", "/nowhere", "{}").status, 404);
  EXPECT_EQ(complete({{"prompt", "1+1="}, {"max_tokens", 1}})["choices"].size(), 1u);
}

TEST_F(ServerTest, KeysOriginsAndHealth) {
  ServeOptions options;
  options.api_keys = {"first key", "second"};
  options.cors_origins = {"https://a.example"};
  options.model_name = "small";
  server_ = Server::listen(options).value();
  EXPECT_EQ(send("GET", "/health").status, 503);
  EXPECT_EQ(send("GET", "/v1/models", "", {{"Authorization", "Bearer second"}}).status, 503);
  model_ = Model::load(kModel).value();
  ASSERT_OK(server_->serve(*model_));
  EXPECT_EQ(send("GET", "/health").status, 200);
  EXPECT_EQ(send("GET", "/v1/models").status, 401);
  EXPECT_EQ(send("GET", "/v1/models", "", {{"Authorization", "Bearer secon"}}).status, 401);
  EXPECT_EQ(send("GET", "/metrics").status, 401);
  EXPECT_EQ(send("GET", "/v1/models", "", {{"Authorization", "Bearer first key"}}).status, 200);
  EXPECT_EQ(send("GET", "/v1/models/small", "", {{"X-Api-Key", "second"}}).status, 200);
  const HttpResponse preflight =
      send("OPTIONS", "/v1/completions", "", {{"Origin", "https://a.example"}});
  EXPECT_EQ(preflight.status, 204);
  EXPECT_EQ(preflight.header("access-control-allow-origin"), "https://a.example");
  EXPECT_EQ(
      send("OPTIONS", "/v1/completions", "",
           {{"Origin", "https://a.example"}, {"Access-Control-Request-Headers", "x-stainless-os"}})
          .header("access-control-allow-headers"),
      "x-stainless-os");
  EXPECT_EQ(send("GET", "/health", "", {{"Origin", "https://b.example"}})
                .header("access-control-allow-origin"),
            "");
}

TEST_F(ServerTest, PrefixesAreFoundAgainAndCounted) {
  start();
  std::string prompt;
  for (int i = 0; i < 50; ++i) prompt += "7-2*3=5;";
  const OrderedJson body = {{"prompt", prompt}, {"max_tokens", 1}, {"temperature", 0}};
  EXPECT_EQ(complete(body)["usage"]["prompt_tokens_details"]["cached_tokens"], 0);
  EXPECT_GT(complete(body)["usage"]["prompt_tokens_details"]["cached_tokens"].get<int64_t>(), 300);
  EXPECT_GT(metric("looplm_prompt_tokens_cached_total"), 300);
}

TEST_F(ServerTest, NewWeightsServeNewAnswersAndNoOldPrefix) {
  start();
  std::string prompt;
  for (int i = 0; i < 50; ++i) prompt += "7-2*3=5;";
  const OrderedJson body = {
      {"prompt", prompt}, {"max_tokens", 24}, {"temperature", 0}, {"ignore_eos", true}};
  const auto cached = [](const OrderedJson& answer) {
    return answer["usage"]["prompt_tokens_details"]["cached_tokens"].get<int64_t>();
  };
  const OrderedJson before = complete(body);
  EXPECT_GT(cached(complete(body)), 300);

  // The same model with its head turned round: what was least likely is most likely.
  ParameterSet weights(model_->config());
  const Checkpoint checkpoint = std::move(open_checkpoint(kModel)).value();
  ASSERT_OK(weights.load(checkpoint_source(checkpoint)));
  const bool tied = model_->config().tie_embeddings;
  float* const head = weights.find(tied ? kEmbeddingName : kHeadName);
  for (int64_t i = 0; i < model_->config().vocab_size * model_->config().hidden_size; ++i) {
    head[i] = -head[i];
  }
  // One that is being answered meanwhile goes on.
  std::thread other([&] {
    OrderedJson longer = body;
    longer["max_tokens"] = 100;
    EXPECT_EQ(complete(longer)["usage"]["completion_tokens"], 100);
  });
  ASSERT_OK(server_->update_weights(weights.source()));
  other.join();
  const OrderedJson after = complete(body);
  EXPECT_NE(after["choices"][0]["text"], before["choices"][0]["text"]);
  EXPECT_NE(after["system_fingerprint"], before["system_fingerprint"]);

  const auto changed = Model::load(kModel, {.threads = 1}).value();
  ASSERT_OK(changed->update_weights(weights.source()));
  GenerateOptions options;
  options.max_tokens = 24;
  options.ignore_eos = true;
  const std::vector<int32_t> ids = changed->tokenizer()->encode(prompt).value();
  EXPECT_EQ(after["choices"][0]["text"], generate(*changed, ids, options).value().text);

  const TensorSource none = [](const std::string& name) -> Result<TensorView> {
    return not_found(name);
  };
  EXPECT_FALSE(server_->update_weights(none).ok());
  EXPECT_EQ(complete(body)["choices"][0]["text"], after["choices"][0]["text"]);
}

// The lines of a server's log. They may come after the test.
struct Lines {
  std::mutex mutex;
  std::vector<OrderedJson> lines;  // guarded by mutex

  static ServeOptions logging(const std::shared_ptr<Lines>& to) {
    ServeOptions options;
    options.log = [to](const std::string& line) {
      const std::lock_guard lock(to->mutex);
      to->lines.push_back(OrderedJson::parse(line));
      return true;
    };
    return options;
  }
  std::vector<OrderedJson> of(const std::string& path) {
    const std::lock_guard lock(mutex);
    std::vector<OrderedJson> found;
    for (const OrderedJson& line : lines) {
      if (line.at("path") == path) found.push_back(line);
    }
    return found;
  }
};

TEST_F(ServerTest, TheLogSaysWhatBecameOfARequest) {
  const auto log = std::make_shared<Lines>();
  start(Lines::logging(log));
  const OrderedJson body = {
      {"prompt", "7-2*3="}, {"max_tokens", 3}, {"ignore_eos", true}, {"loop", {{"max_loops", 2}}}};
  complete(body);
  stream("/v1/completions", body);
  post("/v1/completions", {{"prompt", 7.5}}, 400);
  const std::vector<OrderedJson> lines = log->of("/v1/completions");
  ASSERT_EQ(lines.size(), 3u);
  for (const OrderedJson& line : {lines[0], lines[1]}) {
    EXPECT_EQ(line.at("status"), 200);
    EXPECT_EQ(line.at("model"), "small");
    EXPECT_EQ(line.at("prompt_tokens"), 6);
    EXPECT_EQ(line.at("completion_tokens"), 3);
    EXPECT_EQ(line.at("mean_depth"), 2);
    EXPECT_LE(line.at("ms_to_answer"), line.at("ms"));
    EXPECT_FALSE(line.contains("left"));
  }
  EXPECT_EQ(lines[2].at("status"), 400);
  EXPECT_FALSE(lines[2].contains("completion_tokens"));
}

TEST_F(ServerTest, AClientThatLeavesFreesItsLanes) {
  const auto log = std::make_shared<Lines>();
  start(Lines::logging(log));
  {
    boost::asio::io_context io;
    boost::asio::ip::tcp::socket socket(io);
    socket.connect({boost::asio::ip::make_address("127.0.0.1"), server_->port()});
    const std::string body =
        R"({"prompt":"oak","max_tokens":100000,"ignore_eos":true,"stream":true})";
    const std::string request =
        fmt::format("POST /v1/completions HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{}",
                    body.size(), body);
    boost::asio::write(socket, boost::asio::buffer(request));
    char some[512];
    EXPECT_GT(socket.read_some(boost::asio::buffer(some)), 0u);
    EXPECT_TRUE(comes_true([&] { return metric("looplm_requests_running") == 1; }));
  }
  EXPECT_TRUE(comes_true([&] { return metric("looplm_requests_running") == 0; }));
  EXPECT_TRUE(comes_true(
      [&] { return metric("looplm_finished_total{model=\"small\",reason=\"cancelled\"}") == 1; }));
  const std::vector<OrderedJson> lines = log->of("/v1/completions");
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0].at("left"), true);
  EXPECT_EQ(lines[0].at("status"), 200);
}

TEST_F(ServerTest, AFullQueueSaysSo) {
  ServeOptions options;
  options.request_limit = 3;
  start(options);
  // A call is never refused for its own size: it would be refused forever.
  EXPECT_EQ(complete({{"prompt", "1+1="}, {"n", 5}, {"max_tokens", 1}})["choices"].size(), 5u);
  std::thread three([this] {
    complete({{"prompt", "1+1="}, {"n", 3}, {"max_tokens", 400}, {"ignore_eos", true}});
  });
  EXPECT_TRUE(comes_true([&] { return metric("looplm_requests_running") == 3; }));
  const HttpResponse r = send("POST", "/v1/completions", R"({"prompt":"1+1="})");
  EXPECT_EQ(r.status, 429);
  EXPECT_EQ(r.header("retry-after"), "1");
  EXPECT_EQ(metric("looplm_requests_refused_total"), 1);
  three.join();
  EXPECT_EQ(complete({{"prompt", "1+1="}, {"max_tokens", 1}})["choices"].size(), 1u);
}

TEST_F(ServerTest, TheContextIsWhatTheMemoryHolds) {
  ServeOptions options;
  options.engine.kv_bytes = uint64_t{600} << 10;
  start(options);
  const auto context = OrderedJson::parse(send("GET", "/props").body)["n_ctx"].get<int64_t>();
  EXPECT_LT(context, model_->config().max_positions);
  EXPECT_GE(context, 32);
  // All that fits, several times over: they take turns.
  const OrderedJson answer =
      complete({{"prompt", "oak"}, {"n", 4}, {"max_tokens", 4096}, {"ignore_eos", true}});
  EXPECT_EQ(answer["usage"]["completion_tokens"],
            4 * (context - answer["usage"]["prompt_tokens"].get<int64_t>()));
  post("/v1/completions", {{"prompt", "oak"}, {"loop", {{"max_loops", 64}}}, {"max_tokens", 4096}},
       400);
}

TEST_F(ServerTest, ALongAnswerEndsInTime) {
  ServeOptions options;
  options.max_seconds = 0.5;
  start(options);
  const OrderedJson error = post(
      "/v1/completions", {{"prompt", "oak"}, {"n", 128}, {"max_tokens", 400}, {"ignore_eos", true}},
      408)["error"];
  EXPECT_EQ(error["code"], "timeout");
  // A busy machine may not manage a short answer in that time either, at the first try.
  const OrderedJson request = {{"prompt", "1+1="}, {"max_tokens", 1}};
  EXPECT_TRUE(
      comes_true([&] { return send("POST", "/v1/completions", request.dump()).status == 200; }));
}

TEST_F(ServerTest, ManyAtOnceGetTheirOwnAnswers) {
  start();
  constexpr int kClients = 16;
  std::vector<std::string> expected(kClients);
  std::vector<OrderedJson> bodies(kClients);
  for (int i = 0; i < kClients; ++i) {
    bodies[i] = {{"prompt", fmt::format("{}+{}*3-{}=", i % 10, i % 7, i % 4)},
                 {"max_tokens", 8 + i},
                 {"seed", i},
                 {"ignore_eos", true},
                 {"temperature", i % 2 == 0 ? 0.0 : 1.0}};
    expected[i] = complete(bodies[i])["choices"][0]["text"];
  }
  std::atomic<int> wrong = 0;
  std::vector<std::thread> clients;
  clients.reserve(kClients);
  for (int i = 0; i < kClients; ++i) {
    clients.emplace_back([&, i] {
      for (int round = 0; round < 4; ++round) {
        if (complete(bodies[i])["choices"][0]["text"] != expected[i]) ++wrong;
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(wrong, 0);
}

TEST_F(ServerTest, EmbeddingsAreTheSameAloneAndTogether) {
  start();
  const std::vector<std::string> texts = {"an oak", "a tree", "7-2*3=5"};
  const OrderedJson together = post("/v1/embeddings", {{"input", texts}});
  ASSERT_EQ(together["data"].size(), 3u);
  for (size_t i = 0; i < texts.size(); ++i) {
    const OrderedJson alone = post("/v1/embeddings", {{"input", texts[i]}});
    EXPECT_EQ(alone["data"][0]["embedding"], together["data"][i]["embedding"]);
    double square = 0;
    for (const OrderedJson& v : alone["data"][0]["embedding"])
      square += v.get<double>() * v.get<double>();
    EXPECT_NEAR(square, 1, 1e-5);
  }
  const OrderedJson shallow =
      post("/v1/embeddings", {{"input", texts[0]}, {"loop", {{"max_loops", 1}}}});
  EXPECT_NE(shallow["data"][0]["embedding"], together["data"][0]["embedding"]);
  const OrderedJson base64 =
      post("/v1/embeddings", {{"input", texts[0]}, {"encoding_format", "base64"}});
  EXPECT_TRUE(base64["data"][0]["embedding"].is_string());
  post("/v1/embeddings", {{"input", texts[0]}, {"dimensions", 3}}, 400);
}

TEST_F(ServerTest, TokenizeAndBack) {
  start();
  const OrderedJson tokens = post("/tokenize", {{"content", "7-2*3=5"}});
  EXPECT_EQ(post("/detokenize", {{"tokens", tokens["tokens"]}})["content"], "7-2*3=5");
  EXPECT_EQ(tokens["count"], tokens["tokens"].size());
  EXPECT_EQ(post("/tokenize", {{"content", "7"}, {"with_pieces", true}})["tokens"][0]["piece"],
            "7");
  post("/tokenize", {{"content", 7}}, 400);
  post("/detokenize", {{"tokens", {1 << 30}}}, 400);
}

TEST_F(ServerTest, DrainsGracefully) {
  start();
  std::thread later([this] {
    const OrderedJson answer =
        complete({{"prompt", "oak"}, {"max_tokens", 200}, {"n", 20}, {"ignore_eos", true}});
    EXPECT_EQ(answer["usage"]["completion_tokens"], 4000);
  });
  EXPECT_TRUE(comes_true([&] { return metric("looplm_requests_running") > 0; }));
  EXPECT_TRUE(server_->drain(milliseconds(600'000)));
  later.join();
}

TEST_F(ServerTest, LinesThatTheLogLosesAreCounted) {
  ServeOptions options;
  options.log = [](const std::string& line) { return line.find("/nowhere") == std::string::npos; };
  start(options);
  send("GET", "/nowhere/1");
  send("GET", "/nowhere/2");
  send("GET", "/health");
  EXPECT_EQ(metric("looplm_log_lines_lost_total"), 2);
}

TEST_F(ServerTest, ARequestThatIsReadForEverDoesNotKeepTheServer) {
  std::promise<void> go_on;
  std::atomic<bool> reading{false};
  ServeOptions options;
  options.log = [&, wait = go_on.get_future().share()](const std::string&) {  // of a reader thread
    if (!reading.exchange(true)) wait.wait();
    return true;
  };
  start(options);
  std::thread client([this] {
    HttpRequest request;
    request.url = fmt::format("http://127.0.0.1:{}/v1/completions", server_->port());
    request.method = "POST";
    request.body = "{}";
    (void)http_exchange(request);
  });
  EXPECT_TRUE(comes_true([&] { return reading.load(); }));
  EXPECT_FALSE(server_->drain(milliseconds(10)));
  go_on.set_value();
  client.join();
}

}  // namespace
}  // namespace looplm
