"""What bench/gpu_check does: proves the CUDA operators on a device, and times them."""
