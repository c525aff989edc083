// The APIs that are translated: OpenAI's responses, Anthropic's messages, Ollama's.
#include <map>
#include <thread>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "looplm/generate.h"

#include "base/rng.h"
#include "model/adapter.h"
#include "serve/test_server.h"
#include "support/temp_dir.h"

namespace looplm {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class DialectsTest : public ServerTest {
 protected:
  void SetUp() override { start(); }

  // A new server, of the same model with another chat template.
  void serve_with(const std::string& chat_template) {
    server_ = nullptr;
    ServeOptions options;
    options.model_name = "small";
    server_ = Server::listen(options).value();
    ChatFiles files;
    files.templates = {{"default", chat_template}};
    ServedModelOptions served;
    served.chat = std::make_shared<const ChatTemplate>(
        ChatTemplate::create(files, *model_->tokenizer()).value());
    ASSERT_OK(server_->serve(*model_, served));
  }

  // Each event's data; its name must be its type.
  std::vector<OrderedJson> events(const std::string& path, OrderedJson body) const {
    body["stream"] = true;
    const HttpResponse response = send("POST", path, body.dump());
    EXPECT_THAT(response.header("content-type"), HasSubstr("text/event-stream"));
    std::vector<OrderedJson> found;
    for (size_t at = 0; at < response.body.size();) {
      const size_t end = response.body.find("\n\n", at);
      const std::string event = response.body.substr(at, end - at);
      at = end + 2;
      const size_t line = event.find('\n');
      EXPECT_TRUE(event.starts_with("event: ")) << event;
      found.push_back(OrderedJson::parse(event.substr(line + 7)));
      EXPECT_EQ(event.substr(7, line - 7), found.back()["type"]);
    }
    return found;
  }
  std::vector<OrderedJson> lines(const std::string& path, const OrderedJson& body) const {
    const HttpResponse response = send("POST", path, body.dump());
    EXPECT_EQ(response.header("content-type"), "application/x-ndjson");
    std::vector<OrderedJson> found;
    for (size_t at = 0; at < response.body.size();) {
      const size_t end = response.body.find('\n', at);
      found.push_back(OrderedJson::parse(response.body.substr(at, end - at)));
      at = end + 1;
    }
    return found;
  }
};

const OrderedJson kSchema = {{"type", "object"},
                             {"properties", {{"city", {{"enum", {"Oslo", "Rome"}}}}}},
                             {"required", {"city"}},
                             {"additionalProperties", false}};

// What chat completions says to the same words.
OrderedJson chat_body(const std::string& question, int64_t tokens) {
  OrderedJson message = {{"role", "user"}, {"content", question}};
  return {{"messages", OrderedJson::array({std::move(message)})},
          {"max_tokens", tokens},
          {"temperature", 0}};
}

// Eight tokens: on some processors, whose bits differ, the model ends its text after eleven.
TEST_F(DialectsTest, AllSayWhatChatSays) {
  const OrderedJson chat = chat_body("7-2*3=", 8);
  const OrderedJson expected = post("/v1/chat/completions", chat);
  const OrderedJson text = expected["choices"][0]["message"]["content"];
  const OrderedJson depth = expected["usage"]["loop"]["loops"];

  const OrderedJson response =
      post("/v1/responses", {{"input", "7-2*3="}, {"max_output_tokens", 8}, {"temperature", 0}});
  EXPECT_EQ(response["output"][0]["content"][0]["text"], text);
  EXPECT_EQ(response["usage"]["loop"]["loops"], depth);
  EXPECT_EQ(response["status"], "incomplete");
  EXPECT_EQ(response["incomplete_details"]["reason"], "max_output_tokens");

  const OrderedJson message = post("/v1/messages", chat);
  EXPECT_EQ(message["content"][0]["text"], text);
  EXPECT_EQ(message["stop_reason"], "max_tokens");
  EXPECT_EQ(message["usage"]["loop"]["loops"], depth);

  OrderedJson ollama = {{"messages", chat["messages"]},
                        {"stream", false},
                        {"options", {{"temperature", 0}, {"num_predict", 8}}}};
  const OrderedJson said = post("/api/chat", ollama);
  EXPECT_EQ(said["message"]["content"], text);
  EXPECT_EQ(said["done_reason"], "length");
  EXPECT_EQ(said["loop"]["loops"], depth);
}

TEST_F(DialectsTest, ResponsesStreamTheirItems) {
  const OrderedJson body = {{"input", "7-2*3="}, {"max_output_tokens", 6}, {"temperature", 0}};
  const OrderedJson whole = post("/v1/responses", body);
  const std::vector<OrderedJson> found = events("/v1/responses", body);
  std::vector<std::string> types;
  std::string text;
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(found[i]["sequence_number"], i);
    const std::string type = found[i]["type"];
    if (type == "response.output_text.delta") text += found[i]["delta"].get<std::string>();
    if (types.empty() || types.back() != type) types.push_back(type);
  }
  EXPECT_THAT(types,
              ElementsAre("response.created", "response.in_progress", "response.output_item.added",
                          "response.content_part.added", "response.output_text.delta",
                          "response.output_text.done", "response.content_part.done",
                          "response.output_item.done", "response.incomplete"));
  EXPECT_EQ(text, whole["output"][0]["content"][0]["text"]);
  OrderedJson last = found.back()["response"];
  EXPECT_EQ(last["usage"]["output_tokens"], whole["usage"]["output_tokens"]);
  EXPECT_EQ(last["output"][0]["content"], whole["output"][0]["content"]);
}

TEST_F(DialectsTest, MessagesStreamTheirBlocks) {
  OrderedJson body = chat_body("7-2*3=", 6);
  const OrderedJson whole = post("/v1/messages", body);
  const std::vector<OrderedJson> found = events("/v1/messages", body);
  std::string text;
  std::vector<std::string> types;
  for (const OrderedJson& event : found) {
    if (event["type"] == "content_block_delta") text += event["delta"]["text"].get<std::string>();
    if (types.empty() || types.back() != event["type"]) types.push_back(event["type"]);
  }
  EXPECT_THAT(types, ElementsAre("message_start", "content_block_start", "content_block_delta",
                                 "content_block_stop", "message_delta", "message_stop"));
  EXPECT_EQ(text, whole["content"][0]["text"]);
  const OrderedJson& usage = whole["usage"];
  EXPECT_EQ(found[0]["message"]["usage"]["input_tokens"],
            usage["input_tokens"].get<int64_t>() + usage["cache_read_input_tokens"].get<int64_t>());

  body["stop_sequences"] = {"never seen", text.substr(1, 2)};
  const OrderedJson stopped = post("/v1/messages", body);
  EXPECT_EQ(stopped["stop_reason"], "stop_sequence");
  EXPECT_EQ(stopped["stop_sequence"], text.substr(1, 2));
  EXPECT_EQ(stopped["content"][0]["text"], text.substr(0, 1));
}

TEST_F(DialectsTest, PromptTokensAreCountedAsTheyAreUsed) {
  OrderedJson body = chat_body("1+1=", 1);
  body["system"] = "Count.";
  const int64_t used = post("/v1/messages", body)["usage"]["input_tokens"];
  body.erase("max_tokens");
  EXPECT_EQ(post("/v1/messages/count_tokens", body)["input_tokens"], used);
  body.erase("messages");
  EXPECT_EQ(post("/v1/messages/count_tokens", body, 400)["type"], "error");
}

TEST_F(DialectsTest, ToolsAreCalledInEachForm) {
  const OrderedJson message =
      post("/v1/messages",
           {{"max_tokens", 100},
            {"temperature", 0},
            {"tools", {{{"name", "weather"}, {"input_schema", kSchema}}}},
            {"tool_choice", {{"type", "any"}, {"disable_parallel_tool_use", true}}},
            {"messages", OrderedJson::array({{{"role", "user"}, {"content", "Where?"}}})}});
  EXPECT_EQ(message["stop_reason"], "tool_use");
  const OrderedJson& use = message["content"].back();
  EXPECT_EQ(use["name"], "weather");
  EXPECT_TRUE(use["input"]["city"].is_string()) << use;

  const OrderedJson body = {
      {"input", "Where?"},
      {"max_output_tokens", 100},
      {"temperature", 0},
      {"tools", {{{"type", "function"}, {"name", "weather"}, {"parameters", kSchema}}}},
      {"tool_choice", {{"type", "function"}, {"name", "weather"}}}};
  const OrderedJson item = post("/v1/responses", body)["output"].back();
  EXPECT_EQ(item["name"], "weather");
  EXPECT_EQ(OrderedJson::parse(item["arguments"].get<std::string>()), use["input"]);
  std::string pieces;
  for (const OrderedJson& event : events("/v1/responses", body)) {
    if (event["type"] == "response.function_call_arguments.delta")
      pieces += event["delta"].get<std::string>();
  }
  EXPECT_EQ(pieces, item["arguments"]);

  // The model neither calls nor sees tools that a request does not allow.
  OrderedJson some = body;
  some["tools"].push_back({{"type", "function"}, {"name", "clock"}, {"parameters", kSchema}});
  for (const OrderedJson& tool : some["tools"]) {
    const OrderedJson named = {{"type", "function"}, {"name", tool["name"]}};
    some["tool_choice"] = {{"type", "allowed_tools"}, {"mode", "required"}, {"tools", {named}}};
    OrderedJson alone = body;
    alone["tools"] = OrderedJson::array({tool});
    alone["tool_choice"] = "required";
    const OrderedJson answer = post("/v1/responses", some);
    EXPECT_EQ(answer["output"].back()["name"], tool["name"]);
    EXPECT_EQ(answer["usage"]["input_tokens"],
              post("/v1/responses", alone)["usage"]["input_tokens"]);
  }
}

TEST_F(DialectsTest, WhereToolsAreAChoiceTheFormatHoldsForTheOtherAnswers) {
  const auto object_with = [](const char* name, const char* value) {
    return OrderedJson{{"type", "object"},
                       {"properties", {{name, {{"enum", {value}}}}}},
                       {"required", {name}},
                       {"additionalProperties", false}};
  };
  OrderedJson body = {
      {"temperature", 0},
      {"messages", OrderedJson::array({{{"role", "user"}, {"content", "Where?"}}})},
      {"tools",
       {{{"type", "function"},
         {"function", {{"name", "weather"}, {"parameters", object_with("city", "Rome")}}}}}},
      {"parallel_tool_calls", false},
      {"response_format",
       {{"type", "json_schema"},
        {"json_schema", {{"name", "a"}, {"schema", object_with("answer", "yes")}}}}}};
  const auto begin_with = [&](const char* text) {
    const int32_t id =
        model_->tokenizer()->encode(text, {.as = EncodeAs::kContinuation}).value().back();
    body["logit_bias"] = {{std::to_string(id), 100}};
    return post("/v1/chat/completions", body)["choices"][0];
  };
  const OrderedJson called = begin_with("<");
  EXPECT_EQ(called["finish_reason"], "tool_calls");
  EXPECT_EQ(called["message"]["tool_calls"][0]["function"]["name"], "weather");
  const OrderedJson answered = begin_with("{");
  EXPECT_EQ(answered["finish_reason"], "stop");
  EXPECT_EQ(OrderedJson::parse(answered["message"]["content"].get<std::string>())["answer"], "yes");
  EXPECT_FALSE(answered["message"].contains("tool_calls"));
  body["max_completion_tokens"] = 1;
  body["max_tokens"] = 0;  // another says how many, but this is wrong all the same
  EXPECT_THAT(post("/v1/chat/completions", body, 400).dump(),
              testing::HasSubstr("'max_tokens' is 0"));
  body.erase("max_tokens");
  // A list of tools it must be.
  body["tools"] = OrderedJson::object();
  EXPECT_THAT(post("/v1/chat/completions", body, 400).dump(), testing::HasSubstr("'tools' is {}"));
}

TEST_F(DialectsTest, OllamaGeneratesAndDescribesTheModel) {
  const OrderedJson options = {{"temperature", 0}, {"num_predict", 6}};
  const OrderedJson completed =
      post("/v1/completions", {{"prompt", "7-2*3="}, {"max_tokens", 6}, {"temperature", 0}});
  const std::vector<OrderedJson> found = lines(
      "/api/generate", {{"model", "small:latest"}, {"prompt", "7-2*3="}, {"options", options}});
  std::string text;
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(found[i]["done"], i + 1 == found.size());
    text += found[i]["response"].get<std::string>();
  }
  EXPECT_EQ(text, completed["choices"][0]["text"]);
  EXPECT_EQ(found.back()["eval_count"], completed["usage"]["completion_tokens"]);
  EXPECT_EQ(post("/api/show", {{"model", "small"}})["model_info"]["looped.loop_count"], 4);
  EXPECT_EQ(post("/api/generate", {{"model", "small"}})["done_reason"], "load");
  EXPECT_EQ(OrderedJson::parse(send("GET", "/api/tags", "").body)["models"][0]["name"], "small");
}

TEST_F(DialectsTest, ResponsesTellLogProbabilities) {
  OrderedJson body = {{"input", "7-2*3="}, {"max_output_tokens", 8}, {"temperature", 0}};
  EXPECT_TRUE(post("/v1/responses", body)["output"][0]["content"][0]["logprobs"].empty());
  body["include"] = OrderedJson::array({"message.output_text.logprobs"});
  body["top_logprobs"] = 2;
  OrderedJson chat = chat_body("7-2*3=", 8);
  chat.update({{"logprobs", true}, {"top_logprobs", 2}});
  const OrderedJson expected =
      post("/v1/chat/completions", chat)["choices"][0]["logprobs"]["content"];
  EXPECT_EQ(expected.size(), 8);
  const OrderedJson whole = post("/v1/responses", body);
  EXPECT_EQ(whole["top_logprobs"], 2);
  EXPECT_EQ(whole["output"][0]["content"][0]["logprobs"], expected);
  OrderedJson streamed = OrderedJson::array();
  for (const OrderedJson& event : events("/v1/responses", body)) {
    if (event["type"] == "response.output_text.done") {
      EXPECT_EQ(event["logprobs"], expected);
    } else if (event["type"] == "response.output_text.delta") {
      for (const OrderedJson& token : event["logprobs"]) streamed.push_back(token);
    }
  }
  EXPECT_EQ(streamed, expected);
  body["include"] = "logprobs";
  EXPECT_EQ(post("/v1/responses", body, 400)["error"]["param"], "include");
  body.erase("include");
  EXPECT_EQ(post("/v1/responses", body, 400)["error"]["param"], "top_logprobs");
}

TEST_F(DialectsTest, OllamaEmbedsAndListsWhatRuns) {
  const OrderedJson two = {{"input", {"7-2*3=", "oak tree"}}};
  const OrderedJson expected = post("/v1/embeddings", two)["data"];
  const OrderedJson many = post("/api/embed", two);
  ASSERT_EQ(many["embeddings"].size(), 2);
  EXPECT_EQ(many["embeddings"][1], expected[1]["embedding"]);
  EXPECT_GT(many["prompt_eval_count"], 2);
  EXPECT_EQ(post("/api/embed", {{"input", "oak tree"}})["embeddings"][0], many["embeddings"][1]);
  EXPECT_EQ(post("/api/embeddings", {{"prompt", "oak tree"}})["embedding"],
            post("/v1/embeddings",
                 {{"input", "oak tree"}, {"normalize", false}})["data"][0]["embedding"]);
  EXPECT_THAT(post("/api/embed", {{"model", "small"}}, 400)["error"], HasSubstr("'input'"));
  const OrderedJson running = OrderedJson::parse(send("GET", "/api/ps", "").body)["models"];
  ASSERT_EQ(running.size(), 1);
  EXPECT_EQ(running[0]["name"], "small");
  EXPECT_GT(running[0]["size"], 0);
  // Ollama's own program shows the first twelve digits of each digest.
  const OrderedJson tag = OrderedJson::parse(send("GET", "/api/tags", "").body)["models"][0];
  EXPECT_EQ(tag["digest"].get<std::string>().size(), 64);
  EXPECT_EQ(tag["digest"], running[0]["digest"]);
  EXPECT_EQ(tag["size"], running[0]["size"]);
}

// Ollama's results of tools have no ids. Where one has not found its call, this template says more.
TEST_F(DialectsTest, OllamasResultsOfToolsFindTheirCalls) {
  serve_with(
      "{% set of = namespace(ids='') %}{{ tools }}{% for m in messages %}"
      "{% for call in m.tool_calls or [] %}{{ call.function }}{% endfor %}"
      "{% if m.role == 'tool' %}{% set of.ids = of.ids + m.tool_call_id %}"
      "{% endif %}{{ m.content }}{% endfor %}"
      "{% if of.ids != 'call_2call_1' %}another order{% endif %}");
  const auto call = [](const char* name) {
    return OrderedJson{{"function", {{"name", name}, {"arguments", OrderedJson::object()}}}};
  };
  OrderedJson messages =
      OrderedJson::array({{{"role", "user"}, {"content", "Where?"}},
                          {{"role", "assistant"}, {"tool_calls", {call("weather"), call("time")}}},
                          {{"role", "tool"}, {"tool_name", "time"}, {"content", "noon"}},
                          {{"role", "tool"}, {"tool_name", "weather"}, {"content", "sun"}}});
  const auto prompt_tokens = [&] {
    return post("/api/chat", {{"messages", messages},
                              {"stream", false},
                              {"options", {{"num_predict", 1}}}})["prompt_eval_count"]
        .get<int64_t>();
  };
  const int64_t found = prompt_tokens();
  messages[3].erase("tool_name");
  EXPECT_EQ(prompt_tokens(), found);
  messages[2].erase("tool_name");
  EXPECT_GT(prompt_tokens(), found);
}

// Reasoning that a client sends back is the assistant's, in responses as in messages.
TEST_F(DialectsTest, ReasoningOfEarlierTurnsIsRead) {
  serve_with(
      "{% for m in messages %}{{ m.role }}:{{ m.reasoning_content or '' }}"
      "{{ m.content }};{% endfor %}");
  const auto prompt_tokens = [&](const OrderedJson& reasoning) {
    OrderedJson input = OrderedJson::array({{{"role", "user"}, {"content", "x"}}});
    if (!reasoning.is_null()) input.push_back(reasoning);
    input.push_back({{"role", "assistant"}, {"content", "yes"}});
    input.push_back({{"role", "user"}, {"content", "why"}});
    return post("/v1/responses",
                {{"input", input}, {"max_output_tokens", 1}})["usage"]["input_tokens"]
        .get<int64_t>();
  };
  const int64_t without = prompt_tokens(nullptr);
  OrderedJson item = {{"type", "reasoning"}, {"id", "r"}, {"summary", OrderedJson::array()}};
  EXPECT_EQ(prompt_tokens(item), without);
  item["content"] = OrderedJson::array({{{"type", "reasoning_text"}, {"text", "7-2*3=7-6=1"}}});
  EXPECT_GT(prompt_tokens(item), without + 5);
  const OrderedJson block = {{"type", "thinking"}, {"thinking", "7-2*3=7-6=1"}};
  const OrderedJson said = {{"type", "text"}, {"text", "yes"}};
  EXPECT_EQ(post("/v1/messages/count_tokens",
                 {{"messages",
                   {{{"role", "user"}, {"content", "x"}},
                    {{"role", "assistant"}, {"content", {block, said}}},
                    {{"role", "user"}, {"content", "why"}}}}})["input_tokens"],
            prompt_tokens(item));
  // Before a call it is the caller's too, with words between them or not.
  const OrderedJson call = {
      {"type", "function_call"}, {"call_id", "c"}, {"name", "f"}, {"arguments", "{}"}};
  const auto before_a_call = [&](const std::vector<OrderedJson>& middle) {
    OrderedJson input = OrderedJson::array({{{"role", "user"}, {"content", "x"}}});
    for (const OrderedJson& item_between : middle) input.push_back(item_between);
    input.push_back(call);
    input.push_back({{"type", "function_call_output"}, {"call_id", "c"}, {"output", "1"}});
    return post("/v1/responses",
                {{"input", input}, {"max_output_tokens", 1}})["usage"]["input_tokens"]
        .get<int64_t>();
  };
  const OrderedJson words = {{"role", "assistant"}, {"content", "yes"}};
  EXPECT_EQ(before_a_call({words, item}), before_a_call({item, words}));
  EXPECT_GT(before_a_call({words, item}), before_a_call({words}) + 5);
  OrderedJson twice = item;
  twice["content"][0]["text"] = "7-2*3=7-6=1\n\n7-2*3=7-6=1";
  EXPECT_EQ(before_a_call({item, item}), before_a_call({twice}));
  EXPECT_EQ(before_a_call({item, words, item}), before_a_call({twice, words}));
  server_ = nullptr;
}

TEST_F(DialectsTest, MessagesTakeAFormOfTheAnswer) {
  OrderedJson body = chat_body("Where?", 100);
  body["output_config"] = {{"effort", "max"},
                           {"format", {{"type", "json_schema"}, {"schema", kSchema}}}};
  const std::string text = post("/v1/messages", body)["content"][0]["text"];
  EXPECT_TRUE(OrderedJson::parse(text)["city"].is_string()) << text;
  body["output_config"]["format"] = {{"type", "xml"}};
  EXPECT_THAT(post("/v1/messages", body, 400).dump(), HasSubstr("output_config.format.type"));
  body["output_config"]["format"] = {{"type", "json_schema"}};
  EXPECT_THAT(post("/v1/messages", body, 400).dump(), HasSubstr("schema"));
  body.erase("output_config");
  body["mcp_servers"] = OrderedJson::array({{{"type", "url"}}});
  EXPECT_THAT(post("/v1/messages", body, 400).dump(), HasSubstr("mcp_servers"));
}

TEST_F(DialectsTest, ToolsAnswerCallsThatWereMade) {
  const OrderedJson asked = {{"role", "user"}, {"content", "x"}};
  const OrderedJson call = {
      {"id", "a"}, {"type", "function"}, {"function", {{"name", "f"}, {"arguments", "{}"}}}};
  const OrderedJson called = {
      {"role", "assistant"}, {"content", nullptr}, {"tool_calls", OrderedJson::array({call})}};
  const auto said = [&](const std::vector<OrderedJson>& messages, const char* id, int status) {
    OrderedJson body = {{"messages", messages}, {"max_tokens", 1}};
    OrderedJson& tool =
        body["messages"].emplace_back(OrderedJson{{"role", "tool"}, {"content", "1"}});
    if (id != nullptr) tool["tool_call_id"] = id;
    const OrderedJson answer = post("/v1/chat/completions", body, status);
    return status == 200 ? "" : answer["error"]["message"].get<std::string>();
  };
  said({asked, called}, "a", 200);
  // Long words of a request do not come back whole.
  const std::string long_id(1'000'000, 'x');
  const std::string of_long = said({asked, called}, long_id.c_str(), 400);
  EXPECT_LT(of_long.size(), 2'000u);
  EXPECT_THAT(of_long, HasSubstr("'messages[2].tool_call_id' is 'xxx"));
  EXPECT_THAT(of_long, HasSubstr("xxx', and the calls before it are 'a'"));
  EXPECT_THAT(said({asked, called}, "b", 400),
              HasSubstr("'messages[2].tool_call_id' is 'b', and the calls before it are 'a'"));
  EXPECT_THAT(said({asked}, "a", 400), HasSubstr("no call stands before it"));
  EXPECT_THAT(said({asked, called}, nullptr, 400),
              HasSubstr("'messages[2].tool_call_id' is missing"));
  EXPECT_THAT(
      post("/v1/responses",
           {{"input",
             {asked, {{"type", "function_call_output"}, {"call_id", "b"}, {"output", "1"}}}}},
           400)
          .dump(),
      HasSubstr("'b'"));
  const OrderedJson result = {{"type", "tool_result"}, {"tool_use_id", "b"}, {"content", "1"}};
  EXPECT_THAT(post("/v1/messages",
                   {{"max_tokens", 1},
                    {"messages", {{{"role", "user"}, {"content", OrderedJson::array({result})}}}}},
                   400)
                  .dump(),
              HasSubstr("'b'"));
  // Ollama's answers have no ids: the first is to the first call.
  OrderedJson ollama = {
      {"messages", {asked, {{"role", "assistant"}, {"content", ""}, {"tool_calls", {call, call}}}}},
      {"stream", false},
      {"options", {{"num_predict", 1}}}};
  for (int i = 0; i < 2; ++i) ollama["messages"].push_back({{"role", "tool"}, {"content", "1"}});
  post("/api/chat", ollama);
  ollama["messages"] = {asked, {{"role", "tool"}, {"content", "1"}}};
  EXPECT_THAT(post("/api/chat", ollama, 400).dump(), HasSubstr("messages[1].role"));
}

TEST_F(DialectsTest, EffortHasTheLevelsOfEachApi) {
  const OrderedJson chat = chat_body("x", 1);
  const auto status = [&](const char* path, const char* field, const OrderedJson& value) {
    OrderedJson body = chat;
    body[OrderedJson::json_pointer(field)] = value;
    if (std::string_view(path) == "/api/chat") body["stream"] = false;
    const HttpResponse answer = send("POST", path, body.dump());
    if (answer.status == 400) {
      EXPECT_THAT(answer.body, HasSubstr(value.dump().substr(1, 4))) << path;
      EXPECT_THAT(answer.body, HasSubstr("low, medium, high")) << path;
    }
    return answer.status;
  };
  for (const char* level : {"none", "minimal", "low", "medium", "high", "xhigh", "max"}) {
    EXPECT_EQ(status("/v1/chat/completions", "/reasoning_effort", level), 200) << level;
  }
  for (const char* level : {"low", "medium", "high", "xhigh", "max"}) {
    EXPECT_EQ(status("/v1/messages", "/output_config/effort", level), 200) << level;
  }
  for (const OrderedJson& level : {OrderedJson("low"), OrderedJson("medium"), OrderedJson("high"),
                                   OrderedJson("max"), OrderedJson(true), OrderedJson(false)}) {
    EXPECT_EQ(status("/api/chat", "/think", level), 200) << level;
  }
  // An empty text chooses nothing.
  EXPECT_EQ(status("/v1/chat/completions", "/reasoning_effort", ""), 200);
  EXPECT_EQ(status("/api/chat", "/think", ""), 200);
  EXPECT_EQ(status("/v1/chat/completions", "/tool_choice", ""), 200);
  EXPECT_EQ(status("/v1/chat/completions", "/reasoning_effort", "highest"), 400);
  EXPECT_EQ(status("/v1/messages", "/output_config/effort", "minimal"), 400);
  EXPECT_EQ(status("/api/chat", "/think", "xhigh"), 400);
}

TEST_F(DialectsTest, ErrorsTakeEachForm) {
  EXPECT_EQ(post("/v1/messages", {{"model", "small"}}, 400)["error"]["type"],
            "invalid_request_error");
  OrderedJson other = chat_body("x", 1);
  other["model"] = "other";
  EXPECT_EQ(post("/v1/messages", other, 404)["error"]["type"], "not_found_error");
  EXPECT_THAT(post("/api/chat", other, 404)["error"].get<std::string>(), HasSubstr("other"));
  EXPECT_THAT(post("/api/generate", {{"prompt", "x"}, {"context", {1}}}, 400)["error"].dump(),
              HasSubstr("/api/chat"));
  // So do those of calls and paths that are not there, and they say what to do instead.
  for (const auto& [path, instead] : {std::pair{"/api/pull", "looplm pull"},
                                      {"/api/push", "hub"},
                                      {"/api/create", "--model"},
                                      {"/api/copy", "--model"},
                                      {"/api/delete", "looplm rm"},
                                      {"/api/blobs/sha256:0", "--model"}}) {
    EXPECT_THAT(post(path, {{"model", "x"}}, 501)["error"].get<std::string>(), HasSubstr(instead));
  }
  EXPECT_TRUE(post("/api/other", other, 404)["error"].is_string());
  EXPECT_TRUE(OrderedJson::parse(send("GET", "/api/chat", "").body)["error"].is_string());
  EXPECT_EQ(OrderedJson::parse(send("GET", "/v1/messages", "").body)["type"], "error");
  EXPECT_EQ(post("/v1/messages/batches", other, 501)["type"], "error");
  const HttpResponse kept = send("GET", "/v1/responses/resp_1", "");
  EXPECT_EQ(kept.status, 501);
  EXPECT_THAT(OrderedJson::parse(kept.body)["error"]["message"], HasSubstr("nothing is kept"));
  for (const auto& [path, body] : std::vector<std::pair<std::string, OrderedJson>>{
           {"/v1/messages",
            {{"max_tokens", 1},
             {"messages",
              OrderedJson::array({{{"role", "user"}, {"content", {{{"type", "image"}}}}}})}}},
           {"/v1/responses",
            {{"input", OrderedJson::array(
                           {{{"role", "user"}, {"content", {{{"type", "input_image"}}}}}})}}}}) {
    EXPECT_THAT(post(path, body, 400)["error"]["message"], HasSubstr("text alone")) << path;
  }
  EXPECT_THAT(
      post("/v1/responses", {{"input", "x"}, {"previous_response_id", "r"}}, 400)["error"]["param"],
      "previous_response_id");
  ServeOptions options;
  options.api_keys = {"secret"};
  start(options);
  EXPECT_EQ(post("/v1/messages", other, 401)["type"], "error");
  EXPECT_TRUE(post("/api/chat", other, 401)["error"].is_string());
}

TEST_F(DialectsTest, RequestsNameOneOfSeveralModels) {
  server_ = nullptr;
  ServeOptions options;
  options.model_name = "first";
  server_ = Server::listen(options).value();
  const std::unique_ptr<Model> second = Model::load(kModel, {.threads = 1}).value();
  ASSERT_OK(server_->add(*model_));
  ASSERT_OK(server_->add(*second, {.name = "second", .speculate = {}, .chat = nullptr}));
  EXPECT_EQ(send("GET", "/health", "").status, 503);
  server_->open();
  const OrderedJson list = OrderedJson::parse(send("GET", "/v1/models", "").body)["data"];
  EXPECT_EQ(list.size(), 2);
  EXPECT_EQ(OrderedJson::parse(send("GET", "/v1/models/second", "").body)["id"], "second");
  OrderedJson body = {{"prompt", "7-2*3="}, {"max_tokens", 1}, {"temperature", 0}};
  for (const char* name : {"first", "second"}) {
    body["model"] = name;
    EXPECT_EQ(post("/v1/completions", body)["model"], name);
  }
  body["model"] = "third";
  EXPECT_THAT(post("/v1/completions", body, 404)["error"]["code"], "model_not_found");
  body.erase("model");
  EXPECT_EQ(post("/v1/completions", body)["model"], "first");
  EXPECT_EQ(metric("looplm_requests_total", "first"), 2);
  EXPECT_EQ(metric("looplm_requests_total", "second"), 1);
  EXPECT_GT(metric("looplm_passes_total", "second"), 0);
  server_ = nullptr;
}

TEST_F(DialectsTest, AdaptersAnswerUnderTheirNamesInEveryDialect) {
  server_ = nullptr;
  const TempDir directory;
  const AdapterSettings settings = {.rank = 4, .alpha = 8, .targets = {}};
  for (const auto& [name, seed] : {std::pair{"french", 1}, {"sums", 2}}) {
    ParameterSet values(adapter_specs(model_->config(), settings));
    Rng rng(static_cast<uint64_t>(seed));
    for (float& value : values.values()) value = 0.1f * (2 * rng.uniform() - 1);
    ASSERT_OK(save_adapter(directory.file(name), settings, values, kModel));
    ASSERT_OK(model_->add_adapter(name, directory.file(name)));
  }
  ServeOptions options;
  options.model_name = "small";
  server_ = Server::listen(options).value();
  ServedModelOptions served;
  served.chat = std::make_shared<const ChatTemplate>(
      load_chat_template(kModel, *model_->tokenizer()).value());
  ChatFiles of_sums;
  of_sums.templates = {{"default", "{{ messages[0].content }} ="}};
  served.adapters = {{"french"},
                     {"sums", std::make_shared<const ChatTemplate>(
                                  ChatTemplate::create(of_sums, *model_->tokenizer()).value())}};
  ASSERT_OK(server_->serve(*model_, served));

  const OrderedJson listed = OrderedJson::parse(send("GET", "/v1/models", "").body)["data"];
  ASSERT_EQ(listed.size(), 3);
  EXPECT_EQ(listed[2]["id"], "sums");
  EXPECT_EQ(listed[2]["parent"], "small");
  EXPECT_EQ(listed[0]["meta"]["converses"], false);
  EXPECT_EQ(listed[1]["meta"]["converses"], false);
  EXPECT_EQ(listed[2]["meta"]["converses"], true);  // though no special token ends its turns
  EXPECT_EQ(OrderedJson::parse(send("GET", "/v1/models/french", "").body)["id"], "french");
  EXPECT_EQ(send("GET", "/v1/models/german", "").status, 404);

  // All at once; the long prompt's pages are kept, and serve one adapter's requests alone.
  const std::string prompt = "oak tree: a tree that stands for a long time, and then another one: ";
  std::map<std::string, std::string> alone;
  for (const char* name : {"small", "french", "sums"}) {
    const bool adapted = std::string_view(name) != "small";
    const std::unique_ptr<Model> model = Model::load(kModel, {.threads = 1}).value();
    Request request;
    request.options.max_tokens = 16;
    request.options.ignore_eos = true;
    request.prompt = model->tokenizer()->encode(prompt).value();
    if (adapted) {
      ASSERT_OK(model->add_adapter(name, directory.file(name)));
      request.adapter = name;
    }
    alone[name] = generate(*model, std::move(request)).value().text;
  }
  EXPECT_NE(alone["small"], alone["sums"]);
  EXPECT_NE(alone["french"], alone["sums"]);
  std::vector<std::thread> clients;
  for (int i = 0; i < 9; ++i) {
    const char* name = i % 3 == 0 ? "small" : i % 3 == 1 ? "french" : "sums";
    clients.emplace_back([&, name] {
      for (int time = 0; time < 2; ++time) {
        const OrderedJson answer = post("/v1/completions", {{"model", name},
                                                            {"prompt", prompt},
                                                            {"max_tokens", 16},
                                                            {"ignore_eos", true},
                                                            {"temperature", 0}});
        EXPECT_EQ(answer["choices"][0]["text"], alone.at(name));
        EXPECT_EQ(answer["model"], name);
      }
    });
  }
  for (std::thread& client : clients) client.join();
  for (const char* name : {"small", "french", "sums"}) {
    EXPECT_EQ(metric("looplm_requests_total", name), 6);
    EXPECT_EQ(metric("looplm_passes_total", name) > 0, name == std::string_view("small"));
  }

  OrderedJson chat = chat_body("7-2*3=", 12);
  std::map<std::string, OrderedJson> said;
  for (const char* name : {"small", "french", "sums"}) {
    chat["model"] = name;
    const OrderedJson text = post("/v1/chat/completions", chat)["choices"][0]["message"]["content"];
    said[name] = text;
    EXPECT_EQ(post("/v1/messages", chat)["content"][0]["text"], text);
    EXPECT_EQ(post("/v1/responses", {{"model", name},
                                     {"input", "7-2*3="},
                                     {"max_output_tokens", 12},
                                     {"temperature", 0}})["output"][0]["content"][0]["text"],
              text);
    EXPECT_EQ(post("/api/chat",
                   {{"model", std::string(name) + ":latest"},
                    {"messages", chat["messages"]},
                    {"stream", false},
                    {"options", {{"temperature", 0}, {"num_predict", 12}}}})["message"]["content"],
              text);
    EXPECT_EQ(post("/api/show", {{"name", name}})["details"]["parent_model"],
              name == std::string_view("small") ? "" : "small");
  }
  EXPECT_NE(said["small"], said["sums"]);
  const auto rendered = [&](const char* name) {
    chat["model"] = name;
    return post("/apply-template", chat)["prompt"];
  };
  EXPECT_EQ(rendered("sums"), "7-2*3= =");
  EXPECT_EQ(rendered("french"), rendered("small"));
  const auto vector_of = [&](const char* name) {
    return post("/v1/embeddings", {{"model", name}, {"input", "7-2*3="}})["data"][0]["embedding"];
  };
  EXPECT_NE(vector_of("small"), vector_of("french"));
  chat["model"] = "german";
  for (const char* path : {"/v1/chat/completions", "/v1/messages", "/api/chat", "/tokenize"}) {
    EXPECT_THAT(post(path, chat, 404).dump(), HasSubstr("one of 'small', 'french', 'sums'"))
        << path;
  }
  chat["model"] = 5;
  EXPECT_THAT(post("/v1/chat/completions", chat, 400).dump(), HasSubstr("'model' is 5"));

  served.name = "french";
  EXPECT_ERROR_SAYS(server_->add(*model_, served), "two models", "'french'");
  EXPECT_ERROR_SAYS(server_->add(*model_, {.name = "sums", .speculate = {}, .chat = nullptr}),
                    "two models", "'sums'");
}

TEST_F(DialectsTest, FieldsThatADialectDoesNotKnowMeanWhatTheyMeanInChat) {
  const OrderedJson wrong = {{"min_p", 7},
                             {"timeout", -5},
                             {"stop_token_ids", "x"},
                             {"ignore_eos", 7},
                             {"logit_bias", 3},
                             {"presence_penalty", "x"},
                             {"repetition_penalty", "x"},
                             {"chat_template_kwargs", 5},
                             {"regex", 5},
                             {"bad_words", {"a"}}};
  for (const char* path : {"/v1/chat/completions", "/v1/responses", "/v1/messages", "/api/chat"}) {
    for (const auto& [name, value] : wrong.items()) {
      OrderedJson body = chat_body("x", 1);
      body["input"] = "x";
      body[name] = value;
      EXPECT_THAT(post(path, body, 400).dump(), HasSubstr(name)) << path;
    }
  }
}

TEST_F(DialectsTest, AToolsParametersAreAnObject) {
  OrderedJson body = chat_body("x", 1);
  body["tools"] = {
      {{"type", "function"}, {"function", {{"name", "f"}, {"parameters", {{"type", "dict"}}}}}}};
  EXPECT_THAT(post("/v1/chat/completions", body, 400).dump(),
              HasSubstr("tools[0].function.parameters.type is"));
}

// Whatever stands in a field: 400 with a reason, never 500.
TEST_F(DialectsTest, WrongValuesAreRefused) {
  const std::vector<OrderedJson> values = {
      5, "text", true, OrderedJson::array({5}), {{"type", 5}}, OrderedJson::array({{{"type", 5}}})};
  const std::vector<std::pair<std::string, std::vector<std::string>>> fields = {
      {"/v1/messages",
       {"messages", "system", "stop_sequences", "tools", "tool_choice", "thinking", "max_tokens"}},
      {"/v1/responses",
       {"input", "instructions", "tools", "tool_choice", "text", "reasoning", "max_output_tokens"}},
      {"/api/chat", {"messages", "options", "format", "tools", "think", "stream", "model"}},
      {"/api/generate", {"prompt", "options", "format", "system", "think", "raw", "images"}},
      {"/api/show", {"model"}}};
  for (const auto& [path, names] : fields) {
    for (const std::string& name : names) {
      for (const OrderedJson& value : values) {
        OrderedJson body = chat_body("x", 1);
        body["input"] = "x";
        body["prompt"] = "x";
        body["options"] = {{"num_predict", 1}};
        body["max_output_tokens"] = 1;
        body["stream"] = false;
        if (path != "/v1/messages" && path != "/api/chat") body.erase("messages");
        body[name] = value;
        const HttpResponse response = send("POST", path, body.dump());
        EXPECT_LT(response.status, 500) << path << " " << name << " " << value << response.body;
      }
    }
  }
  // An object is no list of its values, and errors name the fields that the client has sent.
  OrderedJson sent = chat_body("x", 1);
  sent["input"] = "x";
  sent["tools"] = {
      {"a", {{"type", "function"}, {"name", "f"}, {"input_schema", {{"type", "object"}}}}}};
  for (const char* path : {"/v1/messages", "/v1/responses", "/v1/chat/completions", "/api/chat"}) {
    EXPECT_THAT(post(path, sent, 400)["error"].dump(),
                AllOf(HasSubstr("'tools' is {"), HasSubstr("expected a list of tools")));
  }
  sent.erase("tools");
  const OrderedJson bad = {{"type", "json_schema"}, {"name", "n"}, {"schema", {{"type", "thing"}}}};
  for (const auto& [format, field] : std::vector<std::pair<OrderedJson, std::string>>{
           {bad, "text.format.schema"},
           {{{"type", "json_schema"}}, "text.format.schema"},
           {{{"type", "xml"}}, "text.format.type"},
           {OrderedJson::object(), "text.format.type"},
           {"json", "text.format"}}) {
    sent["text"] = {{"format", format}};
    const OrderedJson error = post("/v1/responses", sent, 400)["error"];
    EXPECT_EQ(error["param"], field);
    EXPECT_THAT(error["message"].get<std::string>(), HasSubstr(field));
  }
  sent.erase("text");
  sent["output_config"] = {{"format", bad}};
  EXPECT_THAT(post("/v1/messages", sent, 400).dump(), HasSubstr("'output_config.format.schema'"));
  sent["format"] = bad["schema"];
  EXPECT_THAT(post("/api/chat", sent, 400).dump(), HasSubstr("'format'"));
  for (const OrderedJson& part : std::vector<OrderedJson>{
           {{"type", "image"}}, {{"type", "tool_use"}}, {{"type", "text"}}, 7}) {
    OrderedJson body = chat_body("x", 1);
    body["messages"][0]["content"] = OrderedJson::array({part});
    EXPECT_THAT(post("/v1/messages", body, 400)["error"]["message"].get<std::string>(),
                HasSubstr("messages[0].content"));
  }
}

}  // namespace
}  // namespace looplm
