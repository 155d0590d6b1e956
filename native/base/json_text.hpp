// JSON as users write it: parsed without losing a key, and shown in messages.
#pragma once

#include <cstddef>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

namespace deisa {

// A value as messages show it, at most 120 characters.
std::string shown(const nlohmann::json& value);

// Its truth: a boolean, or what parse_truth() knows, as text or number. nullopt: something else.
std::optional<bool> truth_of(const nlohmann::json& value);

// Parses JSON text. Calls `twice` with each key that an object has twice, of which the result keeps
// one, and the depth of that object, 1 for the outermost. Throws nlohmann::json::exception, and
// Error(DEISA_ERROR_ARGUMENT) where it is nested deeper than 64: what copies and shows a value calls itself for each level.
nlohmann::json parse_json(const std::string& text,
                          const std::function<void(const std::string& key, size_t depth)>& twice);

}  // namespace deisa
