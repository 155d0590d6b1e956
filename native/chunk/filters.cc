#include "chunk/filters.hpp"

#include <nlohmann/json.hpp>

namespace deisa {

using nlohmann::json;

ArrayFilter ArrayFilters::of(const std::string& name) const {
  auto found = by_name_.find(name);
  if (found == by_name_.end()) found = by_name_.find(kAny);
  return found != by_name_.end() ? found->second : ArrayFilter();
}

std::vector<std::string> ArrayFilters::names() const {
  std::vector<std::string> names;
  for (const auto& [name, filter] : by_name_) {
    if (name != kAny) names.push_back(name);
  }
  return names;
}

std::string ArrayFilters::text() const {
  json all = json::object();
  for (const auto& [name, filter] : by_name_) {
    json& one = all[name] = filter.send ? json{{"every", filter.every}} : json{{"send", false}};
    if (filter.aggregate) one["aggregate"] = word_of(*filter.aggregate);
  }
  return all.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace deisa
