// Binds the network on a device and the first-hitting step on it.
#include <pybind11/stl.h>
#include <torch/csrc/utils/pybind.h>

#include "binding/bind.h"
#include "binding/engine.h"
#include "device/choose.h"
#include "device/network.h"
#include "device/step.h"

namespace py = pybind11;

namespace pymdm::binding {
namespace {

constexpr const char* kOp = "engine";
using device::FirstHittingStep;
using device::Network;

std::shared_ptr<Network> make_network(const Named& config, const NamedTensors& weights, const std::string& dtype,
                                      const at::Device& device) {
  const DType type = network_dtype(dtype);
  check(device.is_cpu() || (device.is_cuda() && device.has_index()), kOp,
        "device must be cpu or a CUDA device with its index, got ", device);
  check(device.is_cpu() || ops::cuda_built(), kOp, "this build has no CUDA kernels");
  const auto tensors = named_tensors(weights);
  const model::Config c = config_of(config);
  check(c.attention == model::Attention::kBidirectional || c.causal(), kOp,
        "attention block and any-order run on the CPU so far, got device ", device);
  py::gil_scoped_release release;
  return std::make_shared<Network>(c, parameters_of(tensors), type, device);
}

// choose without waiting, every tensor on one device; bad rows get -1.
void choose_into(const at::Tensor& logits, uint64_t seed, const at::Tensor& sequence, const at::Tensor& event,
                 const at::Tensor& token, double temperature, const std::optional<at::Tensor>& scratch) {
  const char* op = "choose_into";
  check(logits.dim() == 2 && logits.size(1) > 0 && logits.stride(1) == 1 && temperature >= 0, op,
        "expected logits [M, V] with adjacent columns and a temperature of at least 0, got ", shape_of(logits));
  const int64_t rows = logits.size(0);
  for (const at::Tensor* t : {&sequence, &event, &token})
    check(t->device() == logits.device() && t->is_contiguous() && t->numel() == rows &&
              t->scalar_type() == (t == &event ? at::kInt : at::kLong),
          op, "expected contiguous int64 (events: int32) [", rows, "] beside the logits, got ", shape_of(*t));
  ops::ChooseArgs args;
  args.logits = logits.data_ptr();
  args.dtype = logits_dtype(op, logits);
  args.rows = rows;
  args.vocab = logits.size(1);
  args.row_stride = logits.stride(0);
  args.seed = seed;
  args.sequence = device::data<uint64_t>(sequence);
  args.event = device::data<uint32_t>(event);
  args.temperature = temperature;
  args.token = device::data<int64_t>(token);
  const c10::DeviceGuard guard(logits.device());
  const at::Tensor own = scratch ? *scratch : device::choose_scratch(logits.device(), rows, args.vocab);
  device::queue_choose(device::where(logits.device()), args, own);
}

}  // namespace

void bind_device(py::module_& m) {
  py::class_<Network, std::shared_ptr<Network>>(
      m, "DeviceEngine", "The masked transformer on a CUDA device; on the cpu its kernels are walked, for tests.")
      .def(py::init(&make_network), py::arg("config"), py::arg("weights"), py::arg("dtype"), py::arg("device"))
      .def("logits", &score<Network>, py::arg("tokens"), py::arg("offsets"), py::arg("rows"), py::arg("times"),
           py::arg("rank") = py::none(), py::arg("owner") = py::none(),
           "Logits float32 [M, V], on the device, of rows [M] (indices into tokens [T]) of sequences "
           "tokens[offsets[b]:offsets[b + 1]]; the arguments are on the cpu.")
      .def_property_readonly("device", [](const Network& n) { return n.transformer().device(); })
      .def_property_readonly("vocab_size", [](const Network& n) { return n.transformer().config().vocab_size; })
      .def_property_readonly(
          "sees_time",
          [](const Network& n) { return n.transformer().config().conditioning == model::Conditioning::kTime; })
      .def_property_readonly("workspace_bytes", [](Network& n) { return n.workspace_bytes(); })
      .def_property_readonly("weight_bytes", [](const Network& n) { return n.transformer().weight_bytes(); })
      .def_property(
          "gelu_in_product", [](const Network& n) { return n.transformer().gelu_in_product(); },
          [](Network& n, bool on) { n.transformer().set_gelu_in_product(on); },
          "Whether the MLP's first product adds its bias and applies GELU; a CUDA device's choice in bfloat16.");

  m.def(
      "choose_into", &choose_into, py::arg("logits"), py::arg("seed"), py::arg("sequence"), py::arg("event"),
      py::arg("token"), py::arg("temperature") = 1.0, py::arg("scratch") = py::none(),
      "Queues choose on the logits' device and does not wait: token [M] int64 is written, -1 for a bad row. Calls one "
      "after the other may share a `scratch` of choose_scratch.");
  m.def("choose_scratch", &device::choose_scratch, py::arg("device"), py::arg("rows"), py::arg("vocab"));

  py::class_<FirstHittingStep>(m, "FirstHittingStep",
                               "One call of the first-hitting sampler on a device, for sequences of fixed lengths.")
      .def(py::init([](std::shared_ptr<Network> network, const std::vector<int64_t>& lengths, int64_t tokens_per_call,
                       double temperature, int64_t mask_id) {
             return std::make_unique<FirstHittingStep>(std::move(network), lengths, tokens_per_call, temperature,
                                                       mask_id);
           }),
           py::arg("network").none(false), py::arg("lengths"), py::arg("tokens_per_call"), py::arg("temperature"),
           py::arg("mask_id"))
      .def(
          "load",
          [](FirstHittingStep& step, const sample::State& state, const std::vector<int64_t>& sequences,
             const at::Tensor& banned) {
            step.load(state, sequences, vector_of<uint8_t>(cpu_tensor("sample", "banned", banned, at::kBool, 1)));
          },
          py::arg("state"), py::arg("sequences"), py::arg("banned"), py::call_guard<py::gil_scoped_release>(),
          "Takes over sequences of a state; banned [V] bool are never drawn.")
      .def(
          "step", [](FirstHittingStep& step) { step.step(); }, py::call_guard<py::gil_scoped_release>(),
          "Queues one network call and what belongs to it; does not wait.")
      .def(
          "store",
          [](const FirstHittingStep& step, sample::State& state, const std::shared_ptr<Schedule>& schedule,
             int64_t calls) {
            step.store(state, *schedule);
            state.calls += calls;
          },
          py::arg("state"), py::arg("schedule").none(false), py::arg("calls"),
          "Waits, and brings the sequences back into the state, which took part in `calls` network calls.");
}

}  // namespace pymdm::binding
