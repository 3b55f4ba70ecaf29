#include "binding/engine.h"

#include <algorithm>
#include <chrono>

#include "binding/bind.h"

namespace py = pybind11;

namespace pymdm::binding {
namespace {

constexpr const char* kOp = "engine";
constexpr int64_t kLargest = int64_t{1} << 28;  // of a size: products of two stay far below 2^63

bool one_of(const py::dict& values, const char* key, const char* no, const char* yes) {
  const auto value = values[key].cast<std::string>();
  check(value == no || value == yes, kOp, key, " must be ", no, " or ", yes, ", got ", value);
  return value == yes;
}

std::shared_ptr<Engine> make_engine(const Named& config, const NamedTensors& weights, const std::string& dtype) {
  const DType type = network_dtype(dtype);
  std::vector<std::pair<std::string, at::Tensor>> tensors = named_tensors(weights);
  const model::Config c = config_of(config);
  py::gil_scoped_release release;
  return std::make_shared<Engine>(c, std::move(tensors), type);
}

}  // namespace

model::Parameters parameters_of(const std::vector<std::pair<std::string, at::Tensor>>& weights) {
  model::Parameters out;
  for (const auto& [name, t] : weights) {
    check(t.device().is_cpu() && t.is_contiguous() && t.is_floating_point() && (t.dim() == 1 || t.dim() == 2), kOp,
          "parameter ", name, " must be a contiguous floating-point vector or matrix on cpu, got ", shape_of(t));
    const ops::Parameter part{t.data_ptr(), logits_dtype(kOp, t), t.size(0), t.dim() == 2 ? t.size(1) : 1};
    const auto [at, fresh] = out.try_emplace(name, part);
    if (fresh) continue;
    ops::Parameter& whole = at->second;  // one more part
    check(whole.columns == part.columns, kOp, "the parts of parameter ", name, " differ in width: ", whole.columns,
          " and ", part.columns);
    if (whole.parts.empty()) whole.parts.push_back(ops::Parameter(whole));
    whole.parts.push_back(part);
    whole.rows += part.rows;
  }
  return out;
}

model::Config config_of(const py::dict& d) {
  model::Config c;
  const auto number = [&](const char* key, int64_t& to) { to = d[key].cast<int64_t>(); };
  const auto flag = [&](const char* key, bool& to) { to = d[key].cast<bool>(); };
  number("vocab_size", c.vocab_size), number("mask_id", c.mask_id), number("length", c.length);
  number("width", c.width), number("layers", c.layers), number("heads", c.heads), number("kv_heads", c.kv_heads);
  number("mlp_width", c.mlp_width), number("cond_dim", c.cond_dim), number("head_dim", c.head_dim);
  number("embed_dim", c.embed_dim), number("window", c.window), number("full_every", c.full_every);
  flag("tied_head", c.tied_head), flag("logit_shift", c.logit_shift);
  flag("norm_bias", c.norm_bias), flag("qkv_bias", c.qkv_bias), flag("out_bias", c.out_bias);
  flag("mlp_bias", c.mlp_bias), flag("head_bias", c.head_bias);
  c.norm_eps = d["norm_eps"].cast<double>();
  c.rope_base = d["rope_base"].cast<double>();
  c.layernorm = one_of(d, "norm", "rmsnorm", "layernorm");
  const auto mlp = d["mlp"].cast<std::string>(), positions = d["positions"].cast<std::string>();
  check(mlp == "gelu" || mlp == "gelu_erf" || mlp == "swiglu" || mlp == "geglu", kOp,
        "mlp must be gelu, gelu_erf, swiglu or geglu, got ", mlp);
  check(positions == "rotary" || positions == "learned", kOp, "positions must be rotary or learned, got ", positions);
  c.gated = mlp == "swiglu" || mlp == "geglu";
  c.gelu_erf = mlp == "gelu_erf" || mlp == "geglu";
  c.learned_positions = positions == "learned";
  const auto attention = d["attention"].cast<std::string>();
  check(attention == "bidirectional" || attention == "causal" || attention == "block" || attention == "any-order", kOp,
        "attention must be bidirectional, causal, block or any-order, got ", attention);
  c.attention = attention == "causal"      ? model::Attention::kCausal
                : attention == "block"     ? model::Attention::kBlock
                : attention == "any-order" ? model::Attention::kAnyOrder
                                           : model::Attention::kBidirectional;
  number("block_length", c.block_length);
  check(c.attention == model::Attention::kBlock ? c.block_length >= 1 : c.block_length == 0, kOp,
        "block_length must be at least 1 with attention block and 0 with any other, got ", c.block_length);
  flag("causal_context", c.causal_context), number("yarn_length", c.yarn_length);
  c.yarn = d["yarn"].cast<double>();
  check(!c.causal_context || c.attention == model::Attention::kBlock, kOp, "causal_context goes with attention block");
  check(c.yarn == 1 || (c.yarn > 1 && c.yarn_length >= 1 && c.yarn_length <= kLargest && c.rope_base > 1), kOp,
        "yarn must be 1, or above 1 with a yarn_length and a rope_base above 1, got ", c.yarn);
  const bool any_order = c.attention == model::Attention::kAnyOrder;
  const bool late = c.attention == model::Attention::kBlock || any_order;
  flag("post_norm", c.post_norm), flag("embed_norm", c.embed_norm), flag("head_transform", c.head_transform);
  flag("token_dropout", c.token_dropout), flag("first_norm", c.first_norm), flag("shared_layers", c.shared_layers);
  c.local_rope_base = d["local_rope_base"].cast<double>();
  const auto qk_norm = d["qk_norm"].cast<std::string>();
  check(qk_norm == "none" || qk_norm == "head" || qk_norm == "all", kOp, "qk_norm must be none, head or all, got ",
        qk_norm);
  c.qk_norm = qk_norm != "none";
  c.qk_norm_whole = qk_norm == "all";
  c.sigma_input = one_of(d, "time_input", "t", "sigma");
  const auto conditioning = d["conditioning"].cast<std::string>();
  check(conditioning == "none" || conditioning == "constant" || conditioning == "time", kOp,
        "conditioning must be none, constant or time, got ", conditioning);
  c.conditioning = conditioning == "none"       ? model::Conditioning::kNone
                   : conditioning == "constant" ? model::Conditioning::kConstant
                                                : model::Conditioning::kTime;
  for (const int64_t n : {c.vocab_size, c.length, c.width, c.layers, c.heads, c.kv_heads, c.mlp_width, c.cond_dim,
                          c.head_dim, c.embed_dim, c.full_every})
    check(n >= 1 && n <= kLargest, kOp, "sizes must be in [1, 2^28], got ", n);
  check(c.mask_id >= 0 && c.mask_id <= kLargest, kOp, "mask_id must be in [0, 2^28], got ", c.mask_id);
  check(c.width % 2 == 0 && c.head_dim % 2 == 0 && c.embed_dim % 2 == 0, kOp,
        "width, head_dim and embed_dim must be even, got ", c.width, ", ", c.head_dim, " and ", c.embed_dim);
  check(c.window >= 0 && c.window <= kLargest, kOp, "window must be in [0, 2^28], got ", c.window);
  check(c.embed_dim == c.width || (c.embed_dim < c.width && c.head_transform), kOp,
        "embed_dim must be the width, or smaller with head_transform, got ", c.embed_dim);
  check((c.first_norm && !c.shared_layers) || c.conditioning == model::Conditioning::kNone, kOp,
        "shared_layers and no first_norm go with conditioning none");
  check(c.first_norm || !(c.shared_layers || c.post_norm), kOp,
        "no first_norm goes with neither shared_layers nor post_norm");
  check(!c.post_norm || c.conditioning == model::Conditioning::kNone, kOp, "post_norm goes with conditioning none");
  check(!late || (!c.token_dropout && c.conditioning != model::Conditioning::kTime), kOp, "attention ", attention,
        " goes without token_dropout and time");
  check(!any_order || !c.logit_shift, kOp, "attention any-order goes without logit_shift");
  check(c.heads % c.kv_heads == 0, kOp, "kv_heads must divide heads (", c.heads, "), got ", c.kv_heads);
  return c;
}

std::vector<std::pair<std::string, at::Tensor>> named_tensors(const NamedTensors& weights) {
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  for (const auto& [name, value] : weights) {
    const auto key = name.cast<std::string>();
    try {
      if (py::isinstance<py::list>(value))
        for (const auto& part : value) tensors.emplace_back(key, part.cast<at::Tensor>().detach());
      else
        tensors.emplace_back(key, value.cast<at::Tensor>().detach());
    } catch (const py::cast_error&) {
      throw py::type_error("engine: parameter " + key + " must be a tensor");
    }
  }
  return tensors;
}

DType network_dtype(const std::string& name) {
  check(name == "float32" || name == "bfloat16", kOp, "dtype must be float32 or bfloat16, got ", name);
  return name == "float32" ? DType::kFloat32 : DType::kBFloat16;
}

Engine::Engine(const model::Config& config, std::vector<std::pair<std::string, at::Tensor>> weights, DType dtype) {
  network_ = std::make_unique<model::Transformer>(config, parameters_of(weights), dtype);
  for (const auto& [name, tensor] : weights)
    if (name == "embed.weight") embed_ = tensor;
}

void Engine::forward(const Batch& batch, float* logits, int64_t stride, model::Cache* cache) {
  const auto start = std::chrono::steady_clock::now();
  network_->forward(batch, logits, stride, cache);
  seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double Engine::forward_seconds() {
  std::lock_guard<ForkLock> lock(mutex_);
  return seconds_;
}

at::Tensor Engine::score(const Batch& batch) {
  model::check_batch(network_->config(), batch);
  at::Tensor out = at::empty({batch.rows.size, network_->config().vocab_size}, at::kFloat);
  std::lock_guard<ForkLock> lock(mutex_);
  forward(batch, static_cast<float*>(out.data_ptr()), out.size(1), nullptr);
  return out;
}

sample::Logits Engine::logits(const Batch& batch) { return logits(batch, nullptr); }

sample::Logits Engine::logits(const Batch& batch, model::Cache* cache) {
  model::check_batch(network_->config(), batch);
  const int64_t vocab = network_->config().vocab_size, stride = (vocab + 15) / 16 * 16;
  std::lock_guard<ForkLock> lock(mutex_);
  auto* out = reinterpret_cast<float*>(outputs_[std::this_thread::get_id()].reserve(batch.rows.size * stride * 4));
  forward(batch, out, stride, cache);
  return {out, DType::kFloat32, vocab, stride};
}

KeptRun::KeptRun(std::shared_ptr<Engine> engine)
    : engine_(std::move(engine)), cache_(engine_->network().config(), engine_->network().dtype()) {
  const model::Config& c = engine_->network().config();
  check(c.attention != model::Attention::kBidirectional, kOp, "a bidirectional network keeps nothing");
  check(c.conditioning != model::Conditioning::kTime && !c.token_dropout, kOp,
        "keys and values are kept of networks without time and token_dropout");
  // Copies of a sequence do not stand in the order of positions, which a window counts on.
  check(c.window == 0, kOp, "keys and values are kept of networks without a window");
  check(c.attention == model::Attention::kBlock || !c.logit_shift, kOp, "attention ",
        c.attention == model::Attention::kCausal ? "causal" : "any-order", " keeps nothing with logit_shift");
}

sample::Logits KeptRun::logits(const Batch& batch) {
  const model::Config& c = engine_->network().config();
  if (c.attention != model::Attention::kCausal) return engine_->logits(batch, &cache_);
  shifted_.assign(batch.tokens.begin(), batch.tokens.end());
  for (int64_t b = 0; b + 1 < batch.offsets.size; ++b) {
    const auto begin = shifted_.begin() + batch.offsets[b], end = shifted_.begin() + batch.offsets[b + 1];
    std::copy_backward(begin, end - 1, end);
    *begin = c.mask_id;
  }
  Batch inputs = batch;
  inputs.tokens = {shifted_.data(), static_cast<int64_t>(shifted_.size())};
  return engine_->logits(inputs, &cache_);
}

at::Tensor KeptRun::score(const Batch& batch) {
  check(batch.owner.size == batch.offsets.size - 1, kOp, "expected the owner of each sequence");
  const sample::Logits found = logits(batch);
  at::Tensor out = at::empty({batch.rows.size, found.vocab}, at::kFloat);
  for (int64_t i = 0; i < batch.rows.size; ++i)
    std::copy_n(static_cast<const float*>(found.data) + i * found.stride, found.vocab,
                static_cast<float*>(out.data_ptr()) + i * found.vocab);
  return out;
}

int64_t Engine::workspace_bytes() {
  std::lock_guard<ForkLock> lock(mutex_);
  int64_t total = network_->workspace().bytes();
  for (const auto& [thread, buffer] : outputs_) total += buffer.bytes();
  return total;
}

void Engine::poison() {
  std::lock_guard<ForkLock> lock(mutex_);
  network_->workspace().poison();
}

void bind_engine(py::module_& m) {
  py::class_<Engine, std::shared_ptr<Engine>>(m, "Engine", "The masked transformer on packed weights, on the CPU.")
      .def(py::init(&make_engine), py::arg("config"), py::arg("weights"), py::arg("dtype"))
      .def(
          "logits", &score<Engine>, py::arg("tokens"), py::arg("offsets"), py::arg("rows"), py::arg("times"),
          py::arg("rank") = py::none(), py::arg("owner") = py::none(),
          "Logits float32 [M, V] of rows [M] (indices into tokens [T]) of sequences tokens[offsets[b]:offsets[b + 1]].")
      .def_property_readonly("workspace_bytes", [](Engine& e) { return e.workspace_bytes(); })
      .def_property_readonly("weight_bytes", [](Engine& e) { return e.network().weight_bytes(); })
      .def_property_readonly("forward_seconds", [](Engine& e) { return e.forward_seconds(); });
  py::class_<KeptRun, std::shared_ptr<KeptRun>>(m, "KeptRun", "A network with the keys and values of one run.")
      .def(py::init<std::shared_ptr<Engine>>(), py::arg("engine").none(false))
      .def("logits", &score<KeptRun>, py::arg("tokens"), py::arg("offsets"), py::arg("rows"), py::arg("times"),
           py::arg("rank") = py::none(), py::arg("owner") = py::none(),
           "As Engine.logits, with owner [B], whose cache each sequence has.")
      .def_property_readonly("bytes", [](KeptRun& run) { return run.bytes(); });
}

}  // namespace pymdm::binding
