"""The network: configuration, trainable transformer, compiled engine, checkpoints, and any callable."""
