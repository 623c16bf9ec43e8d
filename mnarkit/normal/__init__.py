"""The extended normal: y ~ N(Bx, Σ) with a latent propensity for each modelled indicator."""
