"""What the kit's programs need of this machine: folders, ports, processes, RabbitMQ itself."""
