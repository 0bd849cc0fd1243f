"""The client's ends of a process's pipes: read up to a cap, fed as far as the pipe takes."""

import os


class Capped:
    """What comes out of a pipe, up to `most` bytes; owns the (non-blocking) descriptor."""

    def __init__(self, fd: int, most: int) -> None:
        self.fd = fd
        self.data = bytearray()
        self.is_open = True
        self.is_over = False
        """Whether there was more."""
        self._most = most
        os.set_blocking(fd, False)

    def read(self) -> None:
        """Take what is there; closes at the end or past the cap."""
        while self.is_open:
            try:
                data = os.read(self.fd, 65536)
            except BlockingIOError:
                return
            self.data += data
            if len(self.data) > self._most:
                del self.data[self._most :]
                self.is_over = True
            if not data or self.is_over:
                self.close()

    def close(self) -> None:
        if self.is_open:
            self.is_open = False
            os.close(self.fd)


class Fed:
    """What goes into a pipe; owns the (non-blocking) descriptor."""

    def __init__(self, fd: int, data: bytes) -> None:
        self.fd = fd
        self.is_open = True
        self._unfed = memoryview(data)
        os.set_blocking(fd, False)

    def feed(self) -> None:
        """Write what the pipe takes; closes when all is written or nobody reads any more."""
        try:
            while self._unfed:
                self._unfed = self._unfed[os.write(self.fd, self._unfed) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            pass
        self.close()

    def close(self) -> None:
        if self.is_open:
            self.is_open = False
            os.close(self.fd)
