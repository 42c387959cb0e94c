"""What providers' terms and licences said about training on answers, as data with source and date."""
