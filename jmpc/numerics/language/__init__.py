"""What functions of `numerics` say to the compiler that plain JAX cannot say."""
