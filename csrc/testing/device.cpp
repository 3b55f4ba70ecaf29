// Binds what a test does to a network on the CPU or a device, and draws as a kernel makes them.
#include <torch/csrc/utils/pybind.h>

#include "binding/engine.h"
#include "device/network.h"
#include "sample/device_bits.h"
#include "testing/bind.h"

namespace py = pybind11;

namespace pymdm::testing {
namespace {

using namespace binding;

// [n] int64 draws as a kernel makes them, on the cpu; arguments [n] int64 on the cpu.
at::Tensor device_bits(const at::Device& device, uint64_t seed, const at::Tensor& sequence, const at::Tensor& event,
                       int64_t purpose, const at::Tensor& index) {
  const char* op = "device_bits";
  const auto put = [&](const char* name, const at::Tensor& t) {
    return cpu_tensor(op, name, t, at::kLong, 1).to(device);
  };
  const at::Tensor s = put("sequence", sequence), e = put("event", event), i = put("index", index);
  check(s.numel() == e.numel() && s.numel() == i.numel() && purpose >= 1 && purpose < 128, op,
        "expected as many sequences as events and indices, and a purpose in 1..127");
  const at::Tensor out = at::empty_like(s);
  const c10::DeviceGuard guard(device);
  launch_grid(
      device::where(device), s.numel(), 1,
      sample::DeviceBits{seed, device::data<uint64_t>(s), device::data<int64_t>(e), static_cast<Purpose>(purpose),
                         device::data<uint64_t>(i), device::data<uint64_t>(out)});
  return out.cpu();
}

}  // namespace

void bind_device(py::module_& m) {
  m.def("device_bits", &device_bits, py::arg("device"), py::arg("seed"), py::arg("sequence"), py::arg("event"),
        py::arg("purpose"), py::arg("index"), "[n] int64 draws as a kernel makes them.");
  constexpr const char* doc = "Fills a network's workspace with NaN.";
  m.def("poison_workspace", [](Engine& e) { e.poison(); }, py::arg("engine"), doc);
  m.def("poison_workspace", [](device::Network& n) { n.poison(); }, py::arg("engine"), doc);
}

}  // namespace pymdm::testing
