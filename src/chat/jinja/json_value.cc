#include "chat/jinja/json_value.h"

namespace looplm::jinja {

Value from_json(const OrderedJson& json, Marks marks) {
  Budget unlimited(SIZE_MAX, SIZE_MAX);  // the text is there already
  switch (json.type()) {
    case OrderedJson::value_t::boolean:
      return Value(json.get<bool>());
    case OrderedJson::value_t::number_integer:
      return Value(Integer{json.get<int64_t>()});
    case OrderedJson::value_t::number_unsigned:
      return Value(Integer{json.get<uint64_t>()});
    case OrderedJson::value_t::number_float:
      return Value(json.get<double>());
    case OrderedJson::value_t::string:
      return Value::text(json.get_ref<const std::string&>(), marks);
    case OrderedJson::value_t::array: {
      std::vector<Value> items;
      items.reserve(json.size());
      for (const OrderedJson& item : json) items.push_back(from_json(item, marks));
      return make_list(unlimited, std::move(items));
    }
    case OrderedJson::value_t::object: {
      Dict dict;
      for (const auto& [key, value] : json.items()) {
        dict.set(Value::text(key, marks), from_json(value, marks));
      }
      return make_dict(unlimited, std::move(dict));
    }
    default:
      return Value();
  }
}

}  // namespace looplm::jinja
