// The native network as Python holds it.
#pragma once

#include <memory>

#include "binding/tensor.h"
#include "sample/network.h"

namespace pymdm::binding {

class Engine : public sample::Network {};

}  // namespace pymdm::binding
