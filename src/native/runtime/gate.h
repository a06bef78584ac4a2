// A gate before libraries that are not ours (OpenBLAS): nobody may be inside while the process
// forks, as the child would keep their locked locks, or ends, as they give back memory in use.
#pragma once

namespace covector {

// A thread inside, for the length of a scope; it waits while the gate is shut.
class Passage {
public:
    Passage();
    ~Passage();
    Passage(const Passage&) = delete;
    Passage& operator=(const Passage&) = delete;

private:
    int slot_;
};

void gate_shut();  // returns when nobody is inside; whoever comes then waits
void gate_open();
void gate_init();  // registers the fork handlers; once

}  // namespace covector
