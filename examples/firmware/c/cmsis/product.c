/* CMSIS-DSP's product of two n x n matrices, without its structures. */

#include "dsp/matrix_functions.h"

void cmsis_matmul(float *a, float *b, float *c, unsigned n)
{
    arm_matrix_instance_f32 of_a = {n, n, a}, of_b = {n, n, b}, of_c = {n, n, c};
    arm_mat_mult_f32(&of_a, &of_b, &of_c);
}
