"""Names for containers that were given none: an adjective and a scientist, engineer or mathematician (pure)."""

import random
from collections.abc import Callable
from typing import Final

_ADJECTIVES: Final = """
able agile amiable ample apt ardent artful astute attentive avid balanced blithe bold brave breezy bright brisk calm
candid capable careful cheerful civil clear clever composed cordial courteous crisp curious daring dapper deft
diligent discreet dreamy eager earnest easygoing elated elegant eloquent eminent exact fair faithful fearless
fervent festive fluent focused fond frank free fresh friendly frugal gallant generous gentle genuine gifted glad
gleeful graceful gracious grateful handy happy hardy hearty helpful honest hopeful humble humorous idle inspired
intrepid inventive jaunty jolly jovial joyful keen kind learned light likable lively logical loyal lucid lucky
mellow merry methodical mindful mirthful modest musing neat nimble noble observant open optimistic orderly patient
peaceful pensive plucky poetic polite practical prudent punctual quaint quick quiet rapid rational ready relaxed
resolute robust sane sensible serene sharp sincere skilful smart snappy sociable solid spirited sprightly steady
stoic sturdy subtle sunny supple sure swift tactful tender thankful thorough thoughtful thrifty tidy tranquil
trusting upbeat valiant versatile vibrant vigilant vivid warm watchful whimsical willing wise witty worthy zealous
"""
_PEOPLE: Final = """
abel airy alhazen ampere archimedes aristarchus arrhenius avicenna avogadro babbage banneker bardeen becquerel bell
bernoulli berzelius bessel bhabha bohr boltzmann boole born bose boyle brahe brahmagupta brattain brunel buchner
cantor carnot carson carver cassini cavendish celsius chandra chatelet clausius copernicus coriolis coulomb crick
curie cuvier daguerre dalton darwin davy descartes diesel diffie diophantus dirac doppler edison ehrlich einstein
elion engelbart eratosthenes euclid euler faraday fermat fermi feynman fibonacci fleming flemming fourier franklin
fresnel galileo galois galvani gauss germain gibbs goddard godel goeppert goodall gutenberg haber hahn halley
hamilton harvey hawking heaviside heisenberg helmholtz henry herschel hertz hilbert hippocrates hodgkin hooke hopper
hubble humboldt huygens hypatia jacquard jenner joule kapitza kekule kelvin kepler khayyam kirchhoff knuth koch
kolmogorov kovalevskaya lagrange lamarr landau laplace lavoisier leavitt leeuwenhoek leibniz lie linnaeus lister
lorentz lovelace lumiere lyell mach malpighi marconi maxwell mcclintock meitner mendel mendeleev mercator michelson
millikan minkowski mirzakhani moore morse napier nash neumann newton nightingale nobel noether oersted ohm
oppenheimer pascal pasteur pauli pauling pavlov payne perlman planck poincare poisson priestley ptolemy pythagoras
raman ramanujan ritchie rontgen rutherford sabin sagan schrodinger shannon somerville stokes swan tesla thales
thompson torricelli turing vesalius virchow volta wallace watson watt wegener weierstrass wheatstone wiener wright
wu yalow yukawa zuse
"""
ADJECTIVES: Final = _ADJECTIVES.split()
PEOPLE: Final = _PEOPLE.split()


def generate(taken: Callable[[str], bool], choose: Callable[[list[str]], str] = random.choice) -> str:
    """A free name `adjective_person`; a digit is added when luck has run out."""
    for attempt in range(100):
        name = f"{choose(ADJECTIVES)}_{choose(PEOPLE)}"
        if attempt >= 6:
            name += str(attempt - 6)
        if not taken(name):
            return name
    raise RuntimeError("no free name found in 100 attempts")
