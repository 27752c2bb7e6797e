//! Tensors of the processor as slices: where our kernels take over from the tensor library.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::{DType, Tensor, TensorData};
use kilobase_kernels::matmul::Rows;

/// Contiguous f32 numbers of a tensor on the processor.
pub(crate) struct Host(FlexTensor);

impl Host {
    /// # Panics
    /// If the tensor is elsewhere, records gradients or is not f32: packed weights exist on the processor only.
    pub(crate) fn new(tensor: Tensor<2>) -> Self {
        let tensor =
            tensor.try_into_primitive::<Flex>().expect("packed weights meet tensors of the processor");
        Self::of(&tensor)
    }

    /// # Panics
    /// If the tensor is not f32.
    pub(crate) fn of(tensor: &FlexTensor) -> Self {
        assert_eq!(tensor.dtype(), DType::F32, "the kernels compute on f32");
        Self(tensor.to_contiguous())
    }

    /// All of them, in row-major order.
    pub(crate) fn numbers(&self) -> &[f32] {
        let layout = self.0.layout();
        &self.0.storage::<f32>()[layout.start_offset()..][..layout.num_elements()]
    }

    /// `[rows, columns]`
    pub(crate) fn rows(&self) -> Rows<'_> {
        Rows::new(self.numbers(), self.0.layout().shape()[1])
    }
}

/// A tensor that takes the numbers over without a copy.
pub(crate) fn tensor(values: Vec<f32>, shape: [usize; 2]) -> Tensor<2> {
    Tensor::from_primitive::<Flex>(FlexTensor::from_data(TensorData::new(values, shape)))
}
