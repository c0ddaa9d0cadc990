"""What `bench` and `compare` share: processes, clients, load, accounts and ledgers."""
