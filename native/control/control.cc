#include "control/control.hpp"

#include "control/control_process.hpp"
#include "control/launch.hpp"

namespace deisa {

std::unique_ptr<Control> Control::start(const Settings& settings) {
  Places places = Places::of_this_process(settings.variables);
  if (!settings.library_folder.empty()) places.library_folder = settings.library_folder;
  Launch launch = how_to_launch(places, settings.kind, environment_of_this_process());
  return std::make_unique<ControlProcess>(places, std::move(launch), settings);
}

}  // namespace deisa
