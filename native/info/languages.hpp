// Java and Python: what the lowest rank of a node and its node actor need.
#pragma once

#include <string>
#include <vector>

#include "control/control.hpp"
#include "control/locate.hpp"
#include "info/finding.hpp"

namespace deisa {

// Java, the control jar and Ray's. What is missing is a note when Python takes their place.
std::vector<Finding> check_java(const Places& places, ControlKind kind);

// Ray, its Python, what else must be installed in it, and the package deisa_bridge.
std::vector<Finding> check_python(const Places& places);

// Whether the control process starts, and, with `join`, joins Ray.
Finding check_control(const Control::Settings& settings, bool join);

// The version of an installed Python package, from the names of the folders beside it; "" if it is
// not there. `package` is in the spelling of its folder: "deisa_ray".
std::string package_version(const std::string& site_packages, const std::string& package);

// Whether version "2.48.0" is at least `least`, "2.48"; compared number by number.
bool is_at_least(const std::string& version, const std::string& least);

}  // namespace deisa
