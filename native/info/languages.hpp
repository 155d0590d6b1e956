// Java and Python: what the lowest rank of a node and its node actor need.
#pragma once

#include <string>
#include <vector>

#include "info/finding.hpp"
#include "jvm/locate.hpp"

namespace deisa {

// libjvm and the control jar.
std::vector<Finding> check_java(const Places& places);

// Ray, its Python, what else must be installed in it, and the package deisa_bridge.
std::vector<Finding> check_python(const Places& places);

// The version of an installed Python package, from the names of the folders beside it; "" if it is
// not there. `package` is in the spelling of its folder: "deisa_ray".
std::string package_version(const std::string& site_packages, const std::string& package);

// Whether version "2.48.0" is at least `least`, "2.48"; compared number by number.
bool is_at_least(const std::string& version, const std::string& least);

}  // namespace deisa
