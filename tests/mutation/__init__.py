"""Mutation testing of what must not be wrong: protocols, masks, frames. `python -m tests.mutation --help`.

Each mutant is one small change of one module. A process is forked for it, in which the module is imported as changed
(no file is written), and the tests of the module run until one fails. A mutant that no test notices has survived: a
test is missing, or the change makes no difference. Needs `pip install 'jmpc[mutation]'`.
"""
