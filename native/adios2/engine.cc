// The plugin engine that ADIOS2 loads: EngineCreate and EngineDestroy.
#include <adios2/plugin/PluginEngineInterface.h>

#include <complex>
#include <cstdint>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <type_traits>

#include "adios2/stream.hpp"
#include "deisa/deisa.h"
#if ADIOS2_USE_MPI
#include "deisa/deisa_mpi.h"
#endif

namespace deisa::adios {
namespace {

// 0: the analytics have no such type.
template <typename T>
constexpr deisa_dtype dtype_of() {
  if constexpr (std::is_same_v<T, float>) return DEISA_FLOAT32;
  if constexpr (std::is_same_v<T, double>) return DEISA_FLOAT64;
  if constexpr (std::is_same_v<T, std::complex<float>>) return DEISA_COMPLEX64;
  if constexpr (std::is_same_v<T, std::complex<double>>) return DEISA_COMPLEX128;
  if constexpr (std::is_integral_v<T>) {
    // char is ADIOS2's own type for bytes, whatever its sign is here.
    constexpr bool is_signed = std::is_signed_v<T> || std::is_same_v<T, char>;
    if constexpr (sizeof(T) == 1) return is_signed ? DEISA_INT8 : DEISA_UINT8;
    if constexpr (sizeof(T) == 2) return is_signed ? DEISA_INT16 : DEISA_UINT16;
    if constexpr (sizeof(T) == 4) return is_signed ? DEISA_INT32 : DEISA_UINT32;
    if constexpr (sizeof(T) == 8) return is_signed ? DEISA_INT64 : DEISA_UINT64;
  }
  return static_cast<deisa_dtype>(0);
}

const char* kind_of(adios2::ShapeID shape) {
  switch (shape) {
    case adios2::ShapeID::GlobalValue:
      return "a global value";
    case adios2::ShapeID::LocalValue:
      return "a local value";
    case adios2::ShapeID::LocalArray:
      return "a local array";
    case adios2::ShapeID::JoinedArray:
      return "a joined array";
    default:
      return "no global array";
  }
}

// A process has one stream to the analytics at a time.
class Only {
 public:
  Only() {
    const std::lock_guard<std::mutex> lock(mutex());
    if (taken()) {
      throw std::runtime_error(
          "deisa: a second engine is opened while another one is open in this process: expected "
          "one, since the analytics get one stream. Close the first, or give the IO of this one "
          "another engine");
    }
    taken() = true;
  }
  ~Only() {
    const std::lock_guard<std::mutex> lock(mutex());
    taken() = false;
  }
  Only(const Only&) = delete;
  Only& operator=(const Only&) = delete;

 private:
  static std::mutex& mutex() {
    static std::mutex one;
    return one;
  }
  static bool& taken() {
    static bool one = false;
    return one;
  }
};

std::map<std::string, std::string> settings_of(const adios2::IO& io) {
  std::map<std::string, std::string> settings;
  for (const auto& [name, value] : io.Parameters()) {
    const bool is_adios2s = name == "PluginName" || name == "PluginLibrary" || name == "verbose";
    if (!is_adios2s) settings[name] = value;
  }
  return settings;
}

class Engine : public adios2::plugin::PluginEngineInterface {
 public:
#if ADIOS2_USE_MPI
  Engine(adios2::IO io, const std::string& name, adios2::Mode mode, MPI_Comm comm)
      : PluginEngineInterface(io, name, mode, comm) {
    require_write(mode);
    only_ = std::make_unique<Only>();
    deisa_communicator communicator;
    deisa_error error;
    if (deisa_mpi_open(comm, &communicator, &error) < 0) {
      throw std::runtime_error(std::string("deisa: ") + error.message);
    }
    stream_ = std::make_unique<Stream>(settings_of(io), &communicator);
  }
#endif
  Engine(adios2::IO io, const std::string& name, adios2::Mode mode)
      : PluginEngineInterface(io, name, mode) {
    require_write(mode);
    only_ = std::make_unique<Only>();
    stream_ = std::make_unique<Stream>(settings_of(io), nullptr);
  }

  adios2::StepStatus BeginStep(adios2::StepMode mode, float) override {
    if (mode == adios2::StepMode::Read) no_reading();
    stream_->begin_step();
    return adios2::StepStatus::OK;
  }
  size_t CurrentStep() const override { return static_cast<size_t>(stream_->step()); }
  void EndStep() override {
    for (const auto& [name, ignored] : m_IO.AvailableAttributes()) {
      stream_->ignore("attribute '" + name + "'");
    }
    stream_->end_step();
  }
  void PerformPuts() override { stream_->perform_puts(); }
  void PerformGets() override { no_reading(); }
  // ADIOS2 destroys an engine that it has closed.
  void DoClose(int) override { stream_->close(); }

#define DEISA_TYPE(T)                                                                    \
  void DoPutSync(adios2::Variable<T> variable, const T* values) override {               \
    put(variable, values, &Stream::put);                                                 \
  }                                                                                      \
  void DoPutDeferred(adios2::Variable<T> variable, const T* values) override {           \
    put(variable, values, &Stream::put_later);                                           \
  }                                                                                      \
  void DoGetSync(adios2::Variable<T>, T*) override { no_reading(); }                     \
  void DoGetDeferred(adios2::Variable<T>, T*) override { no_reading(); }                 \
  void DoGetSync(adios2::Variable<T>, T*, const adios2::core::Selection&) override {     \
    no_reading();                                                                        \
  }                                                                                      \
  void DoGetDeferred(adios2::Variable<T>, T*, const adios2::core::Selection&) override { \
    no_reading();                                                                        \
  }
  ADIOS2_FOREACH_STDTYPE_1ARG(DEISA_TYPE)
#undef DEISA_TYPE

#define DEISA_TYPE(T)                                                                            \
  void DoPut(adios2::Variable<T> variable, typename adios2::Variable<T>::Span&, bool, const T&)  \
      override {                                                                                 \
    throw std::runtime_error("deisa: variable '" + variable.Name() +                             \
                             "': a Put that returns a span is not supported: expected a Put of " \
                             "the program's own memory");                                        \
  }
  ADIOS2_FOREACH_PRIMITIVE_STDTYPE_1ARG(DEISA_TYPE)
#undef DEISA_TYPE

 private:
  [[noreturn]] static void no_reading() {
    throw std::runtime_error(
        "deisa: this engine hands data to analytics and reads nothing: expected "
        "adios2::Mode::Write");
  }
  static void require_write(adios2::Mode mode) {
    if (mode != adios2::Mode::Write) no_reading();
  }

  template <typename T>
  void put(adios2::Variable<T>& variable, const T* values, void (Stream::*take)(const Block&)) {
    constexpr deisa_dtype dtype = dtype_of<T>();
    if (variable.ShapeID() != adios2::ShapeID::GlobalArray) {
      stream_->ignore("variable '" + variable.Name() + "', " + kind_of(variable.ShapeID()));
    } else if (dtype == 0) {
      stream_->ignore("variable '" + variable.Name() + "' of type " + variable.Type());
    } else {
      const Block block{variable.Name(),  dtype, sizeof(T), variable.Shape(), variable.Start(),
                        variable.Count(), values};
      (stream_.get()->*take)(block);
    }
  }

  std::unique_ptr<Only> only_;
  std::unique_ptr<Stream> stream_;
};

}  // namespace
}  // namespace deisa::adios

extern "C" {

#if ADIOS2_USE_MPI
DEISA_EXPORT adios2::plugin::PluginEngineInterface* EngineCreate(adios2::IO io,
                                                                 const std::string& name,
                                                                 adios2::Mode mode, MPI_Comm comm) {
  return new deisa::adios::Engine(io, name, mode, comm);
}
#else
DEISA_EXPORT adios2::plugin::PluginEngineInterface* EngineCreate(adios2::IO io,
                                                                 const std::string& name,
                                                                 adios2::Mode mode) {
  return new deisa::adios::Engine(io, name, mode);
}
#endif

DEISA_EXPORT void EngineDestroy(adios2::plugin::PluginEngineInterface* engine) { delete engine; }

}  // extern "C"
