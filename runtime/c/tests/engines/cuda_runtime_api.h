// What TensorRT's headers need of CUDA's.
#pragma once

typedef struct CUstream_st* cudaStream_t;
